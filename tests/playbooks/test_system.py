"""The module thor_system: which differences it finds, in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.playbooks.load_plugin import load
from tests.playbooks.test_packages import LISTING

if TYPE_CHECKING:
    from collections.abc import Callable

system = load("modules", "thor_system")


def test_a_device_that_is_as_wanted_needs_nothing(answers: Callable[..., list[tuple[str, ...]]]) -> None:
    ran = answers({"systemctl get-default": "multi-user.target\n", "dpkg-query --show": LISTING})
    wanted: dict[str, Any] = {
        **dict.fromkeys(("account", "account_before", "engine_account", "watchdog_seconds", "clock_seconds")),
        "snaps_held": False,
        "active": [],
        "groups": [],
        "packages": ["docker.io"],
        "packages_state": "held",
        "target": "multi-user.target",
    }
    assert list(system.differences(wanted, [])) == []
    assert [words[0] for words in ran] == ["dpkg-query", "systemctl"]
    wanted["target"] = "graphical.target"
    (change,) = system.differences(wanted, [])
    assert (change.what, change.before, change.after) == (
        "boot target",
        "multi-user.target",
        "graphical.target",
    )
