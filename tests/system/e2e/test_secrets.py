"""The edge on a device, in front of the real vLLM; and every secret, looked for in all that is written.

The first tests of this device: the last one takes the secrets away, and no other test has any.
"""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import openai
import pytest

from tests.system.e2e import leaks
from tests.system.e2e.site_world import PROFILE

if TYPE_CHECKING:
    from tests.playbooks.playbook_run import PlaybookRun
    from tests.system.e2e.conftest import Provisioned
    from tests.system.e2e.leaks import LeakyPlaces
    from tests.system.e2e.site_world import World
    from tests.system.e2e.vaulted_inventory import VaultedInventory

pytestmark = [pytest.mark.sim, pytest.mark.vllm]

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
# Readable by root, and nginx's files by its account; and all there is.
PLACES = {
    "600 root:root /etc/thor/hub-token",
    "600 root:root /etc/thor/registry.json",
    "600 root:root /etc/thor/secrets.env",
    "640 root:thor-door keys.conf",
    "640 root:thor-edge keys.conf",
    "640 root:thor-edge tls.key",
}


@pytest.fixture(autouse=True)
def serving(provisioned: Provisioned) -> None:
    """The device serves, with all secrets."""
    assert provisioned.run.exit_code == 0, provisioned.run.text


def trust(inventory: VaultedInventory) -> ssl.SSLContext:
    """The fleet's own authority and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=inventory.authority)
    return context


def verified(inventory: VaultedInventory) -> httpx.Client:
    return httpx.Client(verify=trust(inventory), trust_env=False, timeout=300)


def url(world: World) -> str:
    return f"https://{world.sim.simulation.device(world.device).address}:8443"


def test_no_process_and_no_output_of_ansible_shows_a_secret(provisioned: Provisioned) -> None:
    run = provisioned.run
    assert run.exit_code == 0, run.text
    for part in ("stage: ", "TASK [thor_edge : Take keys and certificate into use]", "Paris"):
        assert part in run.text
    assert not any(provisioned.seen.values()), provisioned.seen


def test_openai_s_client_speaks_to_the_engine_through_it(world: World, inventory: VaultedInventory) -> None:
    client = openai.OpenAI(
        base_url=f"{url(world)}/v1",
        api_key=inventory.plain["key of alice"],
        http_client=openai.DefaultHttpxClient(verify=trust(inventory), trust_env=False),
        max_retries=0,
    )
    whole = client.chat.completions.create(model=PROFILE, messages=QUESTION, temperature=0)
    assert "Paris" in str(whole.choices[0].message.content)
    with client.chat.completions.stream(model=PROFILE, messages=QUESTION, temperature=0) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) > 1
    with pytest.raises(openai.AuthenticationError, match="No valid API key"):
        client.with_options(api_key="thor-nobody").models.list()


def test_anthropic_s_client_does_too(world: World, inventory: VaultedInventory) -> None:
    client = anthropic.Anthropic(
        base_url=url(world),
        api_key=inventory.plain["key of bob"],
        http_client=anthropic.DefaultHttpxClient(verify=trust(inventory), trust_env=False),
        max_retries=0,
    )
    answer = client.messages.create(model=PROFILE, max_tokens=200, messages=QUESTION)
    assert "Paris" in "".join(getattr(block, "text", "") for block in answer.content)
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="thor-nobody").models.list()


@pytest.mark.parametrize("path", ["/invocations", "/inference/v1/generate", "/tokenize", "/metrics"])
def test_what_vllm_s_own_key_leaves_open_is_shut(
    world: World, inventory: VaultedInventory, path: str
) -> None:
    with verified(inventory) as client:
        headers = {"Authorization": f"Bearer {inventory.plain['key of alice']}"}
        assert client.post(url(world) + path, json={}, headers=headers).status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(url(world).replace("https", "http").replace(":8443", ":8000") + "/health", trust_env=False)


def test_a_key_is_taken_away_and_the_engine_not_touched(world: World, inventory: VaultedInventory) -> None:
    started = world.engine_started_at()
    with verified(inventory) as client:

        def status(name: str) -> int:
            headers = {"Authorization": f"Bearer {inventory.plain[name]}"}
            return client.get(f"{url(world)}/v1/models", headers=headers).status_code

        assert (status("key of alice"), status("key of bob")) == (200, 200)
        inventory.give_keys([inventory.new_key("carol"), inventory.new_key("dave")])
        rehearsed = inventory.playbook("edge", "--check", "--diff")
        assert (rehearsed.exit_code, rehearsed.total("changed")) == (0, 1), rehearsed.text
        assert (status("key of alice"), status("key of carol")) == (200, 401)
        run = inventory.playbook("edge", "--diff")
        assert (run.exit_code, run.total("changed")) == (0, 1), run.text
        assert (status("key of alice"), status("key of carol"), status("key of dave")) == (401, 200, 200)
    assert world.engine_started_at() == started
    assert leaks.in_text(rehearsed.text + run.text, inventory.plain) == []


def test_keys_that_will_not_do_are_refused_without_being_told(
    world: World, inventory: VaultedInventory
) -> None:
    weak = "too-short-to-be-any-good"
    inventory.plain["weak key"] = weak
    kept = (inventory.folder / "inventory/group_vars/thor/edge.yml").read_text()
    inventory.give_keys([f"eve: {inventory.vault('x', weak).removeprefix('x: ')}"])
    try:
        run = inventory.playbook("edge", "--diff")
    finally:
        inventory.variables("edge.yml", kept)
    assert run.exit_code != 0
    assert "edge_key_weak: The key of 'eve'" in run.text
    assert leaks.in_text(run.text, inventory.plain) == []


def test_a_configuration_that_nginx_refuses_leaves_the_edge_as_it_was(
    world: World, inventory: VaultedInventory
) -> None:
    """Only nginx knows that the device has no such address."""
    run = inventory.playbook("edge", "-e", '{"thor_edge_addresses": ["203.0.113.9"]}')
    assert run.exit_code != 0
    assert "edge_not_changed: nginx refuses the new configuration, the previous one stays" in run.text
    assert "Cannot assign requested address" in run.text
    assert leaks.in_text(run.text, inventory.plain) == []
    with verified(inventory) as client:
        assert client.get(f"{url(world)}/health").status_code == 200
    again = inventory.playbook("edge")
    assert (again.exit_code, again.total("changed")) == (0, 0), again.text


def test_nothing_that_thorctl_says_shows_a_secret(world: World, inventory: VaultedInventory) -> None:
    name = world.device
    for words in (
        ("status", name, "--json"),
        ("smoke", name, "--json"),
        ("release", "show", PROFILE, "--json"),
        ("logs", name, "--engine", "-n", "5000"),
        ("logs", name, "--agent", "-n", "5000"),
        ("logs", name, "--events", "-n", "5000"),
        ("edge", "cert", name, "--json"),
    ):
        done = inventory.thorctl(*words)
        assert done.stdout
        assert leaks.in_text(done.stdout + done.stderr, inventory.plain) == [], words


def test_the_engine_runs_confined(places: LeakyPlaces) -> None:
    (found,) = json.loads(places.sh("docker inspect thor-engine"))
    host, environment = found["HostConfig"], found["Config"]["Env"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["CapAdd"]) == (True, ["ALL"], None)
    assert (host["SecurityOpt"], host["Privileged"]) == (["no-new-privileges"], False)
    assert {"HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "VLLM_NO_USAGE_STATS=1"} <= set(environment)
    writable = {mount["Destination"] for mount in found["Mounts"] if mount["RW"]}
    assert writable == {"/cache", "/run/engine"}
    assert (host["NetworkMode"], host["IpcMode"]) == ("none", "private")
    assert found["Config"]["User"] == places.sh("echo $(id -u thor-engine):$(id -g thor-engine)").strip()
    inside = "docker exec thor-engine sh -c"
    for path in ("/models/checkpoint/x", "/etc/thor-engine/x", "/x", "/usr/x"):
        assert "Read-only file system" in places.sh(f"{inside} 'touch {path}'")
    status = places.sh(f"{inside} 'cat /proc/1/status'")
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "127.0.0.1:8000" in places.sh("ss -Hltn 'sport = :8000'")
    assert "0.0.0.0:8000" not in places.sh("ss -Hltn 'sport = :8000'")


def test_each_secret_is_where_root_alone_reads_it_and_nowhere_else(
    world: World,
    inventory: VaultedInventory,
    places: LeakyPlaces,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    def place(line: str) -> str:
        for name in ("edge", "door"):
            if f"/etc/thor/{name}/" in line:
                return f"{line.rpartition(' ')[0]} {Path(line).name}"
        return line

    found = places.files(inventory.plain)
    assert {place(line) for line in found} == PLACES
    assert len(found) == len(PLACES), "an edge's earlier generation is still there"
    assert leaks.in_text(places.logs(), inventory.plain) == []
    # Here: this test's own folders, with project, locks and simulation, and Ansible's.
    mine = {inventory.password_file, *(inventory.folder / "pki").rglob("*.key")}
    for folder in (tmp_path_factory.getbasetemp(), Path.home() / ".ansible"):
        leaked = leaks.in_files(folder, inventory.plain, inventory.made_at)
        assert {(what, path) for what, path in leaked if path not in mine} == set()


def test_what_the_inventory_no_longer_has_the_device_loses(
    world: World, inventory: VaultedInventory, places: LeakyPlaces, plain: PlaybookRun
) -> None:
    assert plain.exit_code == 0, plain.text
    assert places.files(inventory.plain) == []
    assert "thor-edge" not in places.sh("ls /etc/systemd/system /etc/thor /run")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url(world)}/health", trust_env=False)
