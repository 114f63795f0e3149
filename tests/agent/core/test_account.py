"""The account without a login that downloads: no account is an error, never root."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.device_double import make_context
from thorctl.agent.core import account
from thorctl.agent.core.account import Account
from thorctl.agent.core.outcome import AgentError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """The part of a passwd entry that is read."""

    pw_name: str
    pw_uid: int
    pw_gid: int
    pw_shell: str = "/usr/sbin/nologin"


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with two services' accounts, a person's, and root's."""
    entries = {"thor": Entry("thor", 997, 996), "ann": Entry("ann", 1000, 1000), "root": Entry("root", 0, 0)}
    entries["robot"] = Entry("robot", 500, 500, "/bin/bash")
    entries["thor-fetch"] = Entry("thor-fetch", 990, 989)
    monkeypatch.setattr("pwd.getpwnam", lambda name: entries[name])


def find(tmp_path: Path, device: object) -> Account:
    ctx = make_context(tmp_path)
    ctx.paths.device_json.parent.mkdir(parents=True, exist_ok=True)
    ctx.paths.device_json.write_text(json.dumps(device))
    return account.find(ctx)


@pytest.mark.parametrize(
    ("device", "found"),
    [
        ({"account": "thor"}, Account("thor", 997, 996)),
        ({"account": "thor-fetch"}, Account("thor-fetch", 990, 989)),
        ({"account": None}, Account("thor-fetch", 990, 989)),
        ({}, Account("thor-fetch", 990, 989)),
    ],
)
@pytest.mark.usefixtures("accounts")
def test_a_service_s_account_is_taken(tmp_path: Path, device: object, found: Account) -> None:
    assert find(tmp_path, device) == found


@pytest.mark.parametrize("name", ["ann", "robot", "root", "nobody-knows"])
@pytest.mark.usefixtures("accounts")
def test_no_service_account_is_an_error_and_not_root(tmp_path: Path, name: str) -> None:
    with pytest.raises(AgentError) as error:
        find(tmp_path, {"account": name})
    assert (error.value.code, name in error.value.message) == ("account_missing", True)
