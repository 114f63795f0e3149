"""A device, an answer, and what it makes of the device: rows for tables of what is rare and must be right."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thorctl.rollout.model.device import Device
from thorctl.rollout.model.rules import Ended, Rules
from thorctl.rollout.model.transitions import ended
from thorctl.rollout.policy import Speed, Wait

if TYPE_CHECKING:
    from thorctl.rollout.model.phases import Phase

OLD, NEW = "m-aaaaaaaaaaaa", "m-bbbbbbbbbbbb"
RULES = Rules("ann@desk", 60, 600, Speed(), Wait(), lease="rollout 1 (abc)")
NOW = 10_000.0
DEVICE = Device(
    "thor-01",
    NEW,
    before=OLD,
    since="1",
    had_release=True,
    baseline=40.0,
    staged=True,
    leased=True,
    began_at=NOW - 100,
    trial_from=NOW - 90,
    trial_seconds=3000,
)


def status(state: str, release: str | None, **changes: Any) -> dict[str, Any]:
    engine = {"unit": "active", "ready": True, "restarts": 0}
    return {"state": state, "release": release, "since": "2", "engine": engine, "lease": None, **changes}


@dataclass(frozen=True)
class Case:
    what: str
    device: dict[str, Any]
    verb: str
    end: Ended
    phase: Phase
    words: str = ""
    rules: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        after = ended(replace(DEVICE, **self.device), self.verb, self.end, replace(RULES, **self.rules))
        assert after.phase is self.phase, after
        assert self.words in after.why


def ok(data: dict[str, Any]) -> Ended:
    return Ended(NOW, True, data=data)


def error(code: str, *, reached: bool = True, **details: Any) -> Ended:
    return Ended(NOW, False, reached, code, f"about {code}", details=details)
