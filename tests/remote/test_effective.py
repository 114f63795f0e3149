"""What ``ssh -G`` answers is asked once, kept, and asked again when anything it depends on has changed."""

from __future__ import annotations

import os
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from thorctl.remote import effective
from thorctl.remote.effective import SshRefusedError, ask

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
CONFIGURATIONS = 25  # two hundred were tried once


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh that writes down each question, and a cache of its own. Nothing is known yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\nexec ssh "$@"\n')
    program.chmod(0o755)
    (tmp_path / "asked").write_text("")
    return program


def asked(ssh: Path, *, new_process: bool = False) -> int:
    """How often ssh was asked; ``new_process``: what was only remembered is gone."""
    if new_process:
        effective._answers.clear()
        effective._configurations.clear()
    return len((ssh.parent / "asked").read_text().splitlines())


def question(ssh: Path, config: Path, host: str, port: int = 22) -> tuple[str, str, str]:
    words = ["-F", str(config), "-o", f"Port={port}"]
    answer = ask(str(ssh), words, host, str(config))
    return answer["hostname"][0], answer["port"][0], answer["serveraliveinterval"][0]


def test_one_question_serves_a_fleet_without_options_for_hosts(ssh: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n  ServerAliveInterval 1m\n")
    found = [question(ssh, config, f"thor-{at}", 2000 + at) for at in range(20)]
    assert found == [(f"thor-{at}", str(2000 + at), "60") for at in range(20)]
    assert asked(ssh, new_process=True) == 1
    assert question(ssh, config, "thor-99", 7) == ("thor-99", "7", "60")
    assert asked(ssh) == 1  # kept on disk


@pytest.mark.parametrize(
    "host", ["2001:0DB8::0001", "127.1", "me@Thor", "Thor-1", "ssh://me@thor:33", "thor-1.lab", "10.0.0.1"]
)
def test_a_host_is_what_ssh_makes_of_it(ssh: Path, tmp_path: Path, host: str) -> None:
    config = tmp_path / "config"
    config.write_text("")
    answer = ask(str(ssh), ["-F", str(config)], host, str(config))
    done = subprocess.run(
        ["ssh", "-G", "-T", "-F", str(config), "--", host],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    for option in ("hostname", "port", "user"):
        assert answer[option] == [lines[option]]


def test_one_question_serves_the_hosts_that_match_the_same_lines(ssh: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host gate\n  HostName 192.0.2.9\n"
        "Host thor-0? !thor-05\n  ServerAliveInterval 5\n"
        "Host *\n  ServerAliveInterval 9\nMatch all\n  Port 33\n"
    )
    hosts = [f"thor-{at:02}" for at in range(13)]
    found = {host: question(ssh, config, host) for host in hosts}
    for host in hosts:
        short = host < "thor-10" and host != "thor-05"
        assert found[host] == (host, "22", "5" if short else "9")
    assert asked(ssh) == 2  # thor-00 and its like; thor-05, thor-10 and its like
    assert question(ssh, config, "gate") == ("192.0.2.9", "22", "9")
    assert question(ssh, config, "192.0.2.9") == ("192.0.2.9", "22", "9")
    assert asked(ssh) == 3


def test_a_jump_host_that_is_a_device_does_not_fail_the_others(ssh: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n  ProxyJump thor-1\n")
    with pytest.raises(SshRefusedError, match="loop"):
        question(ssh, config, "thor-1")
    assert question(ssh, config, "thor-2")[0] == "thor-2"


def test_one_question_serves_hosts_whose_blocks_differ_in_their_name_alone(ssh: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    blocks = "".join(
        f"Host thor-{at}\n  HostName 192.0.2.{at}\n  ServerAliveInterval 7\n" for at in range(50)
    )
    config.write_text(blocks)
    for at in range(50):
        assert question(ssh, config, f"thor-{at}") == (f"192.0.2.{at}", "22", "7")
    assert asked(ssh) == 1
    config.write_text(blocks.replace("192.0.2.7\n", "192.0.2.7\n  Port 33\n"))
    assert question(ssh, config, "thor-7") == ("192.0.2.7", "22", "7")  # an argument comes first
    assert question(ssh, config, "thor-8") == ("192.0.2.8", "22", "7")
    assert asked(ssh) == 3


PATTERNS = ("a1", "a2", "b1", "a*", "?1", "*", "!a1", "!b*", '"a2"', "A1")
OPTIONS = (
    *(
        "HostName x",
        "HostName 192.0.2.1",
        'HostName "y"',
        "HostName Z",
        "hostname=w",
        "User u",
    ),
    *("User = v", "Port 7", "Port=8", "ServerAliveInterval 5", "serveraliveinterval\t6", "IdentityFile /k1"),
    *("IdentityFile /k2", "ProxyJump a1", "ProxyJump x", "ProxyJump none", "Match all", "# Host a1", ""),
    *("HostKeyAlias n", "Include {more}", "Include {more} {other}", "AddressFamily inet # a1"),
)


def written(chance: random.Random, lines: int, more: str, other: str) -> str:
    def line() -> str:
        if chance.random() < 0.4:
            return "Host " + " ".join(chance.sample(PATTERNS, chance.randint(1, 3)))
        return chance.choice(OPTIONS).replace("{more}", more).replace("{other}", other)

    return "".join(f"{line()}\n" for _ in range(lines))


def test_shared_answers_are_those_that_ssh_gives_for_each_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configurations by chance, with Host lines in included files and includes below Host lines."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config, more, other = (tmp_path / name for name in ("config", "more", "other"))
    for seed in range(CONFIGURATIONS):
        chance = random.Random(seed)  # noqa: S311 - repeatable configurations
        config.write_text(written(chance, 9, str(more), str(other)))
        more.write_text(written(chance, 4, str(other), str(other)))
        other.write_text(written(chance, 3, "/nowhere", "/nowhere"))
        effective._configurations.clear()
        for host in ("a1", "a2", "b1", "b2", "x"):
            words = ["-F", str(config)]
            try:
                ours: object = ask("ssh", words, host, str(config))
            except SshRefusedError as error:
                ours = str(error)
            try:
                theirs: object = effective._ask("ssh", words, host)
            except SshRefusedError as error:
                theirs = str(error)
            if isinstance(ours, dict) and isinstance(theirs, dict):
                ours, theirs = (
                    ours | {"host": []},
                    theirs | {"host": []},
                )  # the name itself, which nobody reads
            assert ours == theirs, (seed, host, config.read_text(), more.read_text(), other.read_text())


def test_without_any_file_one_question_serves_all(ssh: Path) -> None:
    for host in ("a", "192.0.2.1"):
        assert ask(str(ssh), ["-F", "none"], host, "none")["hostname"] == [host]
    assert asked(ssh) == 1


def test_options_for_hosts_are_asked_for_host_by_host_and_kept(ssh: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host a\n  HostName 192.0.2.1\n  ServerAliveInterval 5\n")
    for _ in range(2):
        assert question(ssh, config, "a") == ("192.0.2.1", "22", "5")
        assert question(ssh, config, "b") == ("b", "22", "0")
        assert asked(ssh, new_process=True) == 2


def test_a_change_in_any_file_is_seen(ssh: Path, tmp_path: Path) -> None:
    config, folder = tmp_path / "config", tmp_path / "more"
    folder.mkdir()
    config.write_text(f"Include {folder}/*.conf\n")
    assert question(ssh, config, "a")[2] == "0"
    (folder / "one.conf").write_text("ServerAliveInterval 7\n")
    assert question(ssh, config, "a")[2] == "7"
    (folder / "one.conf").write_text("ServerAliveInterval 8\n")
    os.utime(folder / "one.conf", ns=(1, 1))
    assert question(ssh, config, "a")[2] == "8"
    (folder / "one.conf").unlink()
    assert question(ssh, config, "a")[2] == "0"


@pytest.mark.parametrize(
    "text", ["Match exec true\n  ServerAliveInterval 5\n", "CanonicalizeHostname yes\nCanonicalDomains x\n"]
)
def test_an_answer_that_depends_on_more_is_not_kept(ssh: Path, tmp_path: Path, text: str) -> None:
    config = tmp_path / "config"
    config.write_text(text)
    for times in (1, 2):
        question(ssh, config, "192.0.2.1")
        question(ssh, config, "192.0.2.1")
        assert asked(ssh, new_process=True) == times


def test_a_refusal_is_ssh_s_own_and_not_kept(ssh: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Nonsense 1\n")
    for _ in range(2):
        with pytest.raises(SshRefusedError, match="nonsense"):
            question(ssh, config, "a")
    assert asked(ssh) == 2


@pytest.mark.parametrize("broken", ["", "[]", '{"hostname"'])
def test_a_kept_answer_that_is_none_is_asked_for_again(ssh: Path, tmp_path: Path, broken: str) -> None:
    config = tmp_path / "config"
    config.write_text("")
    expected = question(ssh, config, "a")
    (kept,) = (tmp_path / "cache" / "thorctl" / "ssh").rglob("*.json")
    assert kept.stat().st_mode & 0o077 == 0
    kept.write_text(broken)
    asked(ssh, new_process=True)
    assert question(ssh, config, "a") == expected


def test_a_cache_that_cannot_be_written_is_no_failure(
    ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    config = tmp_path / "config"
    config.write_text("")
    assert question(ssh, config, "a")[0] == "a"


@pytest.mark.parametrize("whose", ["file", "folder"])
def test_an_answer_that_another_user_may_have_put_there_is_not_used(
    ssh: Path, tmp_path: Path, whose: str
) -> None:
    """Its ProxyCommand would be run. With sudo, HOME may still be that of the user who said it."""
    config = tmp_path / "config"
    config.write_text("")
    expected = question(ssh, config, "a")
    (kept,) = (tmp_path / "cache" / "thorctl" / "ssh").rglob("*.json")
    kept.write_text(kept.read_text().replace('"serveraliveinterval": ["0"]', '"serveraliveinterval": ["99"]'))
    asked(ssh, new_process=True)
    assert question(ssh, config, "a")[2] == "99"  # ours
    os.chown(kept if whose == "file" else kept.parent, 65534, 65534)
    asked(ssh, new_process=True)
    assert question(ssh, config, "a") == expected
