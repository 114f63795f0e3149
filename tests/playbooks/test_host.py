"""Programs run on a device by the collection's modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.thorctl.thor.plugins.module_utils import host

if TYPE_CHECKING:
    import pytest


def test_what_programs_say_is_read_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert host.run("printenv", "LC_ALL").stdout == "C\n"


def test_program_that_is_missing_or_silent_has_an_exit_code() -> None:
    assert host.run("no-such-program").returncode == 127
    assert host.run("sleep", "5", timeout=0.05).returncode == 124
