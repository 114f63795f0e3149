"""The fleet is what Ansible says it is: patterns are compared with ansible-inventory itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader

from thorctl.errors import ThorError
from thorctl.inventory import devices as fleet
from thorctl.inventory.pattern import matching

ANSIBLES_DEFAULT = "-C -o ControlMaster=auto -o ControlPersist=60s"
INVENTORY = """
all:
  vars: {thor_profile: tiny-qwable}
  children:
    thor:
      vars:
        ansible_user: thor
        ansible_ssh_private_key_file: "{{ inventory_dir }}/../ssh/id_ed25519"
        thor_known_hosts_file: "{{ inventory_dir }}/../ssh/known_hosts"
        ansible_ssh_common_args: >-
          -o UserKnownHostsFile={{ thor_known_hosts_file }} -o StrictHostKeyChecking=yes
        thor_device_class: simulated-container
      children:
        lab:
          vars: {thor_site: lab}
          hosts: {thor-01: {ansible_host: 10.0.0.1}, thor-02: {}, thor-10: {}}
        yard:
          vars: {thor_site: yard}
          hosts: {thor-03: {ansible_port: 2222}, robot: {}}
    seeds: {hosts: {seed-1: {}, thor-01: {}}}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(INVENTORY)
    return folder


@pytest.mark.slow  # asks Ansible
def test_a_device_and_all_its_variables(inventory: Path) -> None:
    device = fleet.load(inventory)[0]
    ssh = inventory / ".." / "ssh"
    assert device == fleet.Device(
        name="thor-01",
        host="10.0.0.1",
        user="thor",
        key=ssh / "id_ed25519",
        known_hosts=ssh / "known_hosts",
        ssh_args=f"-o UserKnownHostsFile={ssh}/known_hosts -o StrictHostKeyChecking=yes",
        site="lab",
        device_class="simulated-container",
        profile="tiny-qwable",
        groups=("lab", "seeds", "thor"),
        ssh_args_before=ANSIBLES_DEFAULT,
    )


@pytest.mark.slow  # asks Ansible
def test_only_devices_in_the_inventorys_order(inventory: Path) -> None:
    found = fleet.load(inventory)
    assert [device.name for device in found] == ["thor-01", "thor-02", "thor-10", "thor-03", "robot"]
    assert [device.host for device in found[1:]] == ["thor-02", "thor-10", "thor-03", "robot"]
    assert found[3].port == 2222


PATTERNS = [
    "thor-01",
    "thor-0*",
    "lab",
    "all",
    "*",
    "thor-01,thor-03",
    "thor-01:thor-03",
    "lab,!thor-01",
    "!lab",
    "thor,&lab",
    "thor:&lab:!thor-02",
    "thor-?0",
    "thor-0[13]*",
    "lab[0]",
    "lab[1:2]",
    "lab[1:]",
    "lab[-1]",
    "~thor-0[13]",
    "~.*1$",
    "ya*",
    " thor-01 , thor-02 ",
]


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], InventoryManager]:
    """The same inventory, as fleet and as Ansible read it."""
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(INVENTORY)
    init_plugin_loader()
    return fleet.members(fleet.read(path)), InventoryManager(loader=DataLoader(), sources=[str(path)])


@pytest.mark.slow  # asks Ansible
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_what_it_means_to_ansible(
    listing: tuple[dict[str, list[str]], InventoryManager], pattern: str
) -> None:
    groups, ansible = listing
    ansible.subset(pattern)
    expected = {host.name for host in ansible.get_hosts("thor")}
    assert expected
    assert set(matching(pattern, groups, "thor")) == expected


@pytest.mark.slow  # asks Ansible
def test_a_pattern_narrows_the_devices(inventory: Path) -> None:
    assert [device.name for device in fleet.load(inventory, "lab,!thor-01")] == ["thor-02", "thor-10"]


GROUPS = {
    "thor": ["thor-01", "thor-02"],
    "lab": ["thor-01"],
    "seeds": ["seed-1"],
    "all": ["thor-01", "thor-02", "seed-1"],
}
REFUSED = {
    "thr-01": "Did you mean 'thor-01'",
    "lbb": "Did you mean 'lab'",
    "thor-01,thor-99": "called 'thor-99'",
    "seed-1": "called 'seed-1'",
    "thor-01,!lab": "selects no device",
    "nothing*": r"called 'nothing\*'",
}


@pytest.mark.parametrize(("pattern", "sentence"), REFUSED.items())
def test_what_selects_nothing(pattern: str, sentence: str) -> None:
    with pytest.raises(ThorError, match=sentence) as caught:
        matching(pattern, GROUPS, "thor")
    assert (caught.value.code, caught.value.exit_code) == ("device_unknown", 2)
    assert "thor-01, thor-02" in caught.value.remedy


@pytest.mark.parametrize("pattern", ["thor-99", "thor", "thors", "all-of-them", "ungruped"])
def test_neither_the_whole_fleet_nor_one_of_many_is_suggested(pattern: str) -> None:
    groups = {"fleet": ["thor-01", "thor-02"], "all": ["thor-01", "thor-02"], "ungrouped": []}
    with pytest.raises(ThorError) as caught:
        matching(pattern, groups, "fleet")
    assert "Did you mean" not in caught.value.message


def test_a_broken_expression() -> None:
    with pytest.raises(ThorError) as caught:
        matching("~(", GROUPS, "thor")
    assert caught.value.code == "pattern_invalid"


BROKEN = {
    "yaml": ("all: [", "inventory_invalid"),
    "no device": ("all: {hosts: {a: {}}}", "inventory_empty"),
    "empty group": ("thor: {hosts: {}}", "inventory_empty"),
    "port": ("thor: {hosts: {a: {ansible_port: many}}}", "inventory_invalid"),
    "unknown template": ("thor: {hosts: {a: {ansible_host: '{{ nobody }}'}}}", "inventory_invalid"),
    "circle": ("thor: {hosts: {a: {ansible_host: '{{ ansible_host }}'}}}", "inventory_invalid"),
    "list": ("thor: {hosts: {a: {ansible_host: [1]}}}", "inventory_invalid"),
}


@pytest.mark.slow  # asks Ansible
@pytest.mark.parametrize(("text", "code"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_inventories(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(text)
    with pytest.raises(ThorError) as caught:
        fleet.load(path)
    assert caught.value.code == code
    assert caught.value.remedy


@pytest.mark.slow  # asks Ansible
@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", ()),
        ("[]", ()),
        ("llm.example.test", ("llm.example.test",)),
        ("'a, b,'", ("a", "b")),
        ("[a, b]", ("a", "b")),
        ("['{{ inventory_hostname }}.lab', 7]", ("thor-01.lab", "7")),
    ],
)
def test_further_names_are_a_list_or_words_with_commas(
    tmp_path: Path, value: str, names: tuple[str, ...]
) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(f"thor: {{hosts: {{thor-01: {{thor_edge_names: {value}}}}}}}\n")
    (device,) = fleet.load(path)
    assert device.edge_names == names


@pytest.mark.slow  # asks Ansible
@pytest.mark.parametrize(("value", "seconds"), [("", 0), ("0", 0), ("86400", 86400), ("'{{ 2 * 60 }}'", 120)])
def test_how_long_a_failed_first_release_is_kept(tmp_path: Path, value: str, seconds: int) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(f"thor: {{hosts: {{thor-01: {{thor_smoke_keep_failed_trial: {value}}}}}}}\n")
    (device,) = fleet.load(path)
    assert device.keep_failed_seconds == seconds


@pytest.mark.parametrize("value", ["-1", "1.5", "604801", "a day", "true", "[1]"])
def test_a_review_of_no_length_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(f"thor: {{hosts: {{thor-01: {{thor_smoke_keep_failed_trial: {value}}}}}}}\n")
    with pytest.raises(
        ThorError, match=r"thor_smoke_keep_failed_trial is .* not whole seconds from 0 to 604800"
    ):
        fleet.load(path)


@pytest.mark.slow  # asks Ansible
def test_templates_cannot_reach_python(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("thor: {hosts: {a: {ansible_host: \"{{ ''.__class__.__mro__ }}\"}}}")
    with pytest.raises(ThorError) as caught:
        fleet.load(path)
    assert caught.value.code == "inventory_invalid"


def test_which_inventory(tmp_path: Path) -> None:
    project, simulation = tmp_path / "project", tmp_path / "hosts.yml"
    with pytest.raises(ThorError, match="no simulation is running") as caught:
        fleet.find_inventory(None, project, simulation)
    assert (caught.value.code, caught.value.exit_code) == ("inventory_missing", 2)
    assert "thorctl sim up" in caught.value.remedy

    simulation.write_text("thor: {}")
    assert fleet.find_inventory(None, project, simulation) == simulation
    example = project / "playbooks" / "inventory" / "example"
    example.mkdir(parents=True)
    (example / "hosts.yml").write_text("thor: {}")
    assert fleet.find_inventory(None, project, simulation) == simulation  # an example is nobody's fleet
    for folder in (project / "playbooks" / "inventory", project / "inventory"):
        folder.mkdir(exist_ok=True)
        (folder / "hosts.yml").write_text("thor: {}")
        assert fleet.find_inventory(None, project, simulation) == folder
    assert fleet.find_inventory(example, project, simulation) == example
    with pytest.raises(ThorError, match="no inventory"):
        fleet.find_inventory(tmp_path / "absent", project, simulation)


CHECKOUT = Path(__file__).resolve().parents[2]
CONFIG = CHECKOUT / "playbooks" / "ansible.cfg"
# What our own remedies, editors, merges, package managers, synchronisers and backups leave in a folder.
BY_PRODUCTS = """known_hosts known_hosts.old known_hosts~ known_hosts.bak hosts.yml.old hosts.yml~
hosts.yml.~1~ hosts.yml.orig hosts.yml.rej hosts.yml.bak hosts.yml.bak.1 hosts.yml.bak-20261130 hosts.yml.1
hosts.yml.backup hosts.yml.save hosts.yml.save.1 .hosts.yml.swp hosts.yml.swo #hosts.yml# .#hosts.yml
hosts.yml.rpmsave hosts.yml.rpmnew
hosts.yml.dpkg-old hosts.yml.dpkg-dist hosts.yml.ucf-old hosts.yml.2026-11-30 hosts.yml.20261130 hosts.yml.tmp
hosts.yml.4711.2026-11-30@12:00:01~ hosts.yml.mine hosts.yml.r12 hosts_BACKUP_123.yml hosts_REMOTE_123.yml
hosts.sync-conflict-20261130-1.yml hosts.tar.gz id_ed25519 id_ed25519.pub ca.pem edge.key ssh_config .DS_Store
vault-password .vault_pass README.md notes.txt .git/config __pycache__/x.pyc .vscode/settings.json"""


@pytest.mark.slow  # asks Ansible
def test_what_lies_beside_an_inventory_is_none(inventory: Path) -> None:
    names = [device.name for device in fleet.load(inventory, config=CONFIG)]
    for name in [*BY_PRODUCTS.split(), "hosts (conflicted copy).yml"]:
        (inventory / name).parent.mkdir(exist_ok=True)
        (inventory / name).write_text("garbage : [ {{ %s\n")
    assert [device.name for device in fleet.load(inventory, config=CONFIG)] == names


@pytest.mark.slow  # asks Ansible
def test_a_file_that_ansible_takes_for_an_inventory_is_named(inventory: Path) -> None:
    (inventory / "LICENSE").write_text("[[[ all rights\n")
    with pytest.raises(ThorError) as caught:
        fleet.load(inventory, config=CONFIG)
    assert caught.value.code == "inventory_invalid"
    assert f"reads {inventory}/LICENSE as an inventory" in caught.value.message
    assert "ignore_patterns" in caught.value.remedy


@pytest.mark.slow  # asks Ansible
def test_the_example_is_nobodys_fleet(
    inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [device.name for device in fleet.load(inventory, config=CONFIG)]
    example = inventory / "example"
    shutil.copytree(CHECKOUT / "playbooks" / "inventory" / "example", example)
    assert [device.name for device in fleet.load(inventory, config=CONFIG)] == names
    assert [device.name for device in fleet.load(example, config=CONFIG)] == [
        "thor-berlin-01",
        "thor-oslo-01",
    ]
    (tmp_path / "ansible.cfg").write_text("")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / "ansible.cfg"))
    with pytest.raises(ThorError, match="shipped example") as caught:
        fleet.load(inventory, config=CONFIG)
    assert (caught.value.code, "^example$" in caught.value.remedy) == ("inventory_invalid", True)
