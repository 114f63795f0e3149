"""Ansible is asked again if and only if its answer may differ."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.ansible_support.inputs import SETTLED_SECONDS
from thorctl.inventory import devices as fleet

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

HOSTS = "thor:\n  vars:\n    {more}\n  hosts:\n    thor-01:\n      ansible_host: 192.0.2.1\n"
PASSWORD = "pw"
TOOL = Path(sys.executable).with_name("ansible-vault")
# Lines of the group's variables -> whether the answer may be kept.
VARIABLES = {
    "thor_site: lab": True,
    "thor_site: \"{{ lookup('env', 'SITE') }}\"": True,
    "thor_site: \"{{ 'lab' | upper }}\"": True,
    "thor_hub_token: {vaulted}": True,
    "ansible_password: secret": False,
    "ansible_become_password: secret": False,
    "thor_site: {vaulted}": False,
    'thor_site: "{{ now().isoformat() }}"': False,
    "thor_site: \"{{ lookup('pipe', 'date') }}\"": False,
    "thor_site: \"{{ ['a', 'b'] | random }}\"": False,
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, a vault password, a working directory without a configuration."""
    (tmp_path / "here").mkdir()
    (tmp_path / "vault-password").write_text(PASSWORD)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "vault-password"))
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often Ansible was started."""
    run, started = subprocess.run, 0

    def counted(words: list[str], **more: Any) -> Any:
        nonlocal started
        started += "--list" in words
        return run(words, **more)

    monkeypatch.setattr(subprocess, "run", counted)
    return lambda: started


def vaulted(place: Path, text: str, indent: str = "") -> str:
    (place / "plain").write_text(text)
    words = [str(TOOL), "encrypt", "--output", "-", str(place / "plain")]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.replace(
        "\n", f"\n{indent}"
    )


def write(folder: Path, more: str = "thor_site: lab") -> Path:
    folder.mkdir()
    (folder / "hosts.yml").write_text(HOSTS.format(more=more))
    return folder / "hosts.yml"


def settle() -> None:
    time.sleep(SETTLED_SECONDS + 0.1)


@pytest.mark.parametrize("line", VARIABLES)
def test_an_answer_is_kept_unless_it_holds_a_secret_or_depends_on_more_than_files(
    place: Path, asked: Callable[[], int], line: str
) -> None:
    token = "!vault |\n      " + vaulted(place, "secret", "      ") if "{vaulted}" in line else ""
    inventory = write(place / "inventory", line.replace("{vaulted}", token))
    settle()
    first = fleet.load(inventory)
    if VARIABLES[line]:
        assert fleet.load(inventory) == first
    assert asked() == 1
    kept = [file.read_text() for file in (place / "cache").rglob("*.json")]
    assert len(kept) == VARIABLES[line]
    assert not any("secret" in text for text in kept)
    for file in (place / "cache").rglob("*.json"):
        assert file.stat().st_mode & 0o077 == 0


def test_an_answer_of_a_program_or_of_an_encrypted_file_is_not_kept(
    place: Path,
) -> None:
    script = place / "script"
    script.write_text('#!/bin/sh\necho \'{"thor": {"hosts": ["a"]}}\'\n')
    script.chmod(0o755)
    inventory = write(place / "inventory")
    (place / "inventory" / "group_vars").mkdir()
    (place / "inventory" / "group_vars" / "thor.yml").write_text(vaulted(place, "thor_site: other"))
    settle()
    for path, site in ((script, None), (inventory, "other")):
        assert fleet.load(path)[0].site == site
    assert not [*(place / "cache").rglob("*.json")]


def test_what_has_just_changed_is_not_kept(place: Path, asked: Callable[[], int]) -> None:
    inventory = write(place / "inventory")
    for site in ("one", "two"):  # of one length, perhaps at one time of a coarse clock
        inventory.write_text(HOSTS.format(more=f"thor_site: {site}"))
        assert fleet.load(inventory)[0].site == site
    assert asked() == 2


def test_a_kept_answer_that_is_none_is_asked_for_again(place: Path, asked: Callable[[], int]) -> None:
    inventory = write(place / "inventory")
    settle()
    first = fleet.load(inventory)
    for broken in ("", "[]", "{}", '{"_meta": {"inputs": 1}}'):
        (kept,) = (place / "cache").rglob("*.json")
        kept.write_text(broken)
        assert fleet.load(inventory) == first
    assert asked() == 5


def edited(inventory: Path) -> None:
    """As an editor that keeps size and time."""
    before = inventory.stat()
    inventory.write_text(inventory.read_text().replace("lab", "new"))
    os.utime(inventory, ns=(before.st_atime_ns, before.st_mtime_ns))


def other_file(inventory: Path) -> None:
    new = inventory.with_name("new")
    new.write_text(inventory.read_text().replace("lab", "new"))
    new.replace(inventory)


def file_of_the_host(inventory: Path) -> None:
    (inventory.parent / "host_vars").mkdir()
    (inventory.parent / "host_vars" / "thor-01.yml").write_text("thor_site: new\n")


def file_of_the_group(inventory: Path) -> None:
    (inventory.parent / "group_vars" / "thor" / "b.yml").write_text("thor_site: new\n")


def configuration(inventory: Path) -> None:
    """Where none was."""
    Path("ansible.cfg").write_text("[defaults]\nremote_user = new\n")


def environment(inventory: Path) -> None:
    os.environ["ANSIBLE_REMOTE_USER"] = "new"  # the fixture's monkeypatch restores it


def file_of_a_lookup(inventory: Path) -> None:
    (inventory.parent / "user").write_text("new")


@pytest.mark.parametrize(
    "change",
    [
        edited,
        other_file,
        file_of_the_host,
        file_of_the_group,
        configuration,
        environment,
        file_of_a_lookup,
    ],
)
def test_a_change_is_seen(
    place: Path, asked: Callable[[], int], change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_REMOTE_USER", "old")
    if change is configuration:
        monkeypatch.delenv("ANSIBLE_REMOTE_USER")
    user = "" if change in {configuration, environment} else "ansible_user: \"{{ lookup('file', '%s') }}\""
    inventory = write(place / "inventory", "thor_site: lab")
    (place / "inventory" / "user").write_text("old")
    folder = place / "inventory" / "group_vars" / "thor"
    folder.mkdir(parents=True)
    (folder / "a.yml").write_text("thor_profile: x\n" + (user and user % (place / "inventory" / "user")))
    settle()
    before = [fleet.load(inventory)[0] for _ in range(2)]
    assert asked() == 1
    change(inventory)
    after = fleet.load(inventory)[0]
    assert asked() == 2
    assert before[0] == before[1] != after
    assert "new" in {after.site, after.user}
