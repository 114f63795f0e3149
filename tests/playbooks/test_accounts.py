"""Accounts and groups of a device: what is absent, and whose an account is."""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING

import pytest

from ansible_collections.thorctl.thor.plugins.module_utils import accounts, host

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_missing_group_is_made_before_any_account(answers: Callable[..., list[tuple[str, ...]]]) -> None:
    ran = answers({"groupadd --system": ""})
    (change,) = accounts.groups(["root", "nobody-has-this-group"])
    assert (change.what, change.before) == ("group nobody-has-this-group", "absent")
    change.make()
    assert ran == [("groupadd", "--system", "nobody-has-this-group")]


def test_a_persons_account_is_never_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "is_system_account", lambda *_: False)
    with pytest.raises(host.HostError, match="account_taken: root"):
        list(accounts.engine_account("root"))


@pytest.mark.parametrize(
    ("uid", "shell", "is_one"),
    [
        (998, "/usr/sbin/nologin", True),
        (998, "/bin/false", True),
        (1000, "/bin/bash", False),
        (1000, "/usr/sbin/nologin", False),
        (998, "/bin/sh", False),
        (0, "/usr/sbin/nologin", False),
    ],
)
def test_whose_account_it_is(uid: int, shell: str, is_one: bool) -> None:
    assert accounts.is_system_account(uid, shell) is is_one


def test_an_account_that_somebody_logs_in_to_is_left_alone() -> None:
    notes: list[str] = []
    assert list(accounts.account("root", notes)) == []
    assert notes == [
        "root is an account that somebody logs in to: left alone (thor_host_account names another)"
    ]
    (change,) = accounts.account("no-such-account", [])
    assert change.before == "absent"


@pytest.mark.parametrize(
    ("comment", "uid", "shell", "renamed"),
    [
        ("thorctl", 997, "/usr/sbin/nologin", True),
        ("Thor the robot", 997, "/usr/sbin/nologin", False),
        ("thorctl", 1000, "/bin/bash", False),
    ],
)
def test_account_of_an_earlier_version_is_renamed(
    monkeypatch: pytest.MonkeyPatch, comment: str, uid: int, shell: str, renamed: bool
) -> None:
    entry = pwd.struct_passwd(("thor", "x", uid, uid, comment, "/nonexistent", shell))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: {"thor": entry}[name])
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(host, "ask", lambda *words: said.append(words))
    (change,) = accounts.account("thor-fetch", [], before="thor")
    change.make()
    assert (change.before, said[0][0]) == (("named thor", "usermod") if renamed else ("absent", "useradd"))
