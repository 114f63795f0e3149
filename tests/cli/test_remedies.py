"""Remedies of errors that a verb meets before it reaches a device: each is done, and the verb then works."""

from __future__ import annotations

import os
import platform
import pwd
from typing import TYPE_CHECKING

import pytest

from thorctl.cli import process
from thorctl.cli.main import run
from thorctl.errors import ThorError
from thorctl.files import limits
from thorctl.inventory import devices as fleet
from thorctl.registry import environment
from thorctl.sim import binfmt, host_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def refusal(act: Callable[[], object]) -> ThorError:
    """The error with which ``act`` is refused."""
    with pytest.raises(ThorError) as caught:
        act()
    assert caught.value.remedy
    return caught.value


def test_working_directory_gone_until_another_is_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    error = refusal(process.require_places)
    assert (error.code, "`cd DIR`" in error.remedy) == ("working_directory_gone", True)
    os.chdir(tmp_path)
    assert process.require_places() == tmp_path


def test_home_unknown_until_home_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_entry(_: int) -> pwd.struct_passwd:
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    error = refusal(process.require_places)
    assert (error.code, "HOME=DIR" in error.remedy) == ("home_unknown", True)
    monkeypatch.setenv("HOME", str(tmp_path))
    process.require_places()


def test_file_too_large_until_the_right_one_is_there(tmp_path: Path) -> None:
    file = tmp_path / "profile.yml"
    with file.open("wb") as opened:
        opened.truncate(limits.FILE_BYTES + 1)
    error = refusal(lambda: limits.read_text(file))
    assert error.code == "file_too_large"
    assert "16.8 MB" in error.message
    file.write_text("schema: 1\n")
    assert limits.read_text(file) == "schema: 1\n"


def test_environment_invalid_until_the_variable_is_corrected() -> None:
    (error,) = environment.faults({"HTTPS_PROXY": "socks5://127.0.0.1:9"}).values()
    assert (error.code, "HTTPS_PROXY" in error.remedy) == ("environment_invalid", True)
    assert not environment.faults({"HTTPS_PROXY": "http://127.0.0.1:9"})
    assert not environment.faults({})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bad", "code"),
    [
        ("ANSIBLE_FORKS", "abc", "ansible_setting"),
        ("ANSIBLE_LOCAL_TEMP", "/proc/none", "ansible_folder"),
    ],
)
def test_a_setting_of_ansible_until_it_is_unset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bad: str, code: str
) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("thor: {hosts: {thor-01: }}\n")
    monkeypatch.setenv(name, bad)
    error = refusal(lambda: fleet.load(inventory))
    assert (error.code, name in error.remedy) == (code, True)
    monkeypatch.delenv(name)
    assert [one.name for one in fleet.load(inventory)] == ["thor-01"]


def test_image_build_failed_until_what_it_names_is_corrected(tmp_path: Path) -> None:
    def build() -> None:
        command = ["sh", "-c", f"cat {tmp_path}/source || exit 3"]
        host_command.run(command, lambda _: None, name="cat", remedy="Correct what its last lines name.")

    error = refusal(build)
    assert error.code == "image_build_failed"
    assert f"{tmp_path}/source" in error.message
    (tmp_path / "source").write_text("")
    build()


def test_binfmt_unavailable_until_root_can_load_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = tmp_path / "qemu-aarch64.conf"
    line.write_text(":qemu-aarch64:M::x:x:/usr/bin/qemu:\n")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(binfmt, "LINE", line)
    monkeypatch.setattr(binfmt, "REGISTER", tmp_path / "binfmt_misc")

    def register() -> None:
        with binfmt.aarch64_programs():
            pass

    monkeypatch.setattr(host_command, "as_root", lambda: ["false"])
    error = refusal(register)
    assert (error.code, "modprobe binfmt_misc" in error.remedy) == ("binfmt_unavailable", True)
    monkeypatch.setattr(host_command, "as_root", lambda: ["true"])
    register()


def code_of(*words: str) -> str | None:
    """The code with which a command line is refused; None: it is not."""
    result = run([*words])
    assert result is not None
    assert all(error.remedy for error in result.errors)
    return result.errors[0].code if result.errors else None


def test_project_not_found_until_init_has_made_one(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    words = ("--project", str(folder), "render", "fleet", "--out", str(tmp_path / "preview"))
    assert code_of(*words) == "project_not_found"
    assert code_of("init", str(folder)) is None
    assert code_of(*words) == "lock_missing"


def test_folder_not_empty_until_a_new_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert code_of("init", str(tmp_path / "full")) == "folder_not_empty"
    assert code_of("init", str(tmp_path / "full" / "file")) == "folder_unusable"
    assert code_of("init", str(tmp_path / "new")) is None


def test_profile_invalid_until_what_it_names_is_corrected(project: Path) -> None:
    profile = project / "deploy" / "profiles" / "tiny-qwable.yml"
    good = profile.read_text()
    words = ("--project", str(project), "render", "tiny-qwable", "--out", str(project / "preview"))
    for bad, code in (
        (f"{good}\nextends: nobody\n", "profile_invalid"),
        (f"{good}\n  : [", "yaml_malformed"),
    ):
        profile.write_text(bad)
        assert code_of(*words) == code
        profile.write_text(good)
        assert code_of(*words) == "lock_missing"


@pytest.mark.slow
def test_inventory_until_it_is_corrected(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    for text, code in (
        ("thor: {hosts: {}}\n", "inventory_empty"),
        ("thor: {hosts: [\n", "inventory_invalid"),
    ):
        inventory.write_text(text)
        assert refusal(lambda: fleet.load(inventory)).code == code
        inventory.write_text("thor: {hosts: {thor-01: }}\n")
        assert [one.name for one in fleet.load(inventory)] == ["thor-01"]


@pytest.mark.slow
def test_one_device_wanted_until_one_is_named(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "thor: {hosts: {thor-01: , thor-02: }, vars: {ansible_host: 127.0.0.1, ansible_port: 9}}\n"
    )
    words = ("-i", str(inventory), "chat")
    assert code_of(*words, "all", "Hi") == "one_device_wanted"
    assert code_of(*words, "thor-01", "Hi") == "device_unreachable"
