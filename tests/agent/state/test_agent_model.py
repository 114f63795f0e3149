"""The agent against a simple model: random verbs, holders, crashes, power cuts and clocks (hypothesis).

The model knows a few values and no timers, files or units. After every step the journal must say what the
model says, the engine must run what the journal says, and all that a way back needs must lie on the disk.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.support import sequences
from tests.support.sequences import CountedMachine, how_many
from tests.support.stateful_device import Device, Fuse, PowerCut
from thorctl.agent.release import store as release_store
from thorctl.protocol.states import COMMITTED, EMPTY, TRIAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thorctl.agent.core.outcome import Outcome

# More of them: THORCTL_SEQUENCES=5000 pytest tests/agent/state/test_agent_model.py
EXAMPLES, STEPS = how_many(40), 30
pytestmark = pytest.mark.timeout(sequences.TIMEOUT)
TTL = 600
DECADES = 30 * 365 * 86400

holders = st.sampled_from(["ann@desk", "ann@desk", "bob@van"])
numbers = st.integers(0, 2)


class Model:
    """What a device is, as its operator thinks of it."""

    state: str = EMPTY
    current: str | None = None
    previous: str | None = None
    target: str | None = None
    left: str | None = None
    smoked = False
    lease: str | None = None
    hold: str | None = None

    def back_from_trial(self) -> None:
        self.left, self.target = self.target, None
        self.state = COMMITTED if self.current else EMPTY

    def rollback(self, wanted: str | None) -> str | None:
        """The error's code, or None."""
        if self.state == TRIAL:
            if wanted not in (None, self.target):
                return "bad_state"
            self.back_from_trial()
            return None
        if self.left is not None and wanted in (None, self.left):
            return None
        if wanted not in (None, self.current):
            return "bad_state"
        if self.previous is None:
            return "nothing_to_roll_back"
        self.left, self.current, self.previous = self.current, self.previous, None
        return None

    def commit(self) -> str | None:
        if self.state == COMMITTED and self.left is None:
            return None
        if self.state != TRIAL:
            return "bad_state"
        if not self.smoked:
            return "smoke_missing"
        self.state, self.previous, self.current, self.target = COMMITTED, self.current, self.target, None
        return None

    def activate(self, wanted: str, *, staged: bool, dies: bool) -> str | None:
        running = self.target if self.state == TRIAL else self.current
        if not staged:
            return "not_staged"
        if wanted == running:
            return None
        if self.state == TRIAL:
            return "bad_state"
        if self.hold:
            return "held"
        self.state, self.target, self.left, self.smoked = TRIAL, wanted, None, False
        if dies:
            self.back_from_trial()
            return "engine_died"
        return None


class Agent(CountedMachine):
    """One device, two operators, three releases, and bad luck."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.device, self.model = Device(self.root), Model()
        self.releases = [self.device.release(number) for number in range(3)]

    def teardown(self) -> None:
        if hasattr(self, "device"):
            self.device.close()
            shutil.rmtree(self.root)
            super().teardown()

    def staged(self) -> set[str]:
        return set(release_store.staged_ids(self.device.paths))

    def say(self, who: str, *words: str) -> Outcome | None:
        """None if the lease of another forbade it, as it must then and only then."""
        outcome = self.device.say("--holder", who, *words)
        forbidden = self.model.lease not in (None, who) and words[0] not in ("hold", "status")
        assert (outcome.error is not None and outcome.error.code == "leased") == forbidden, outcome.error
        if forbidden:
            return None
        last = json.loads(self.device.paths.events.read_text().splitlines()[-1])
        code = outcome.error.code if outcome.error else None
        assert (last["what"], last["verb"], last["holder"], last["error"]) == ("end", words[0], who, code)
        return outcome

    def check(self, outcome: Outcome, wanted: str | None) -> None:
        assert (outcome.error.code if outcome.error else None) == wanted, outcome.error

    @rule(number=numbers)
    def stage(self, number: int) -> None:
        if self.releases[number].id not in self.staged():
            self.device.release(number)

    @rule(who=holders, number=numbers, dies=st.booleans())
    def activate(self, who: str, number: int, dies: bool) -> None:
        release = self.releases[number].id
        staged = release in self.staged()
        running = self.device.journal().running
        self.device.systemd.broken = {release} if dies and release != running else set()
        outcome = self.say(who, "activate", release)
        if outcome:
            self.check(outcome, self.model.activate(release, staged=staged, dies=dies))
        self.device.systemd.broken = set()

    @rule()
    @precondition(lambda self: self.model.state == TRIAL)
    def smoke(self) -> None:
        release = next(one for one in self.releases if one.id == self.model.target)
        self.device.smoke_passed(release)
        self.model.smoked = True

    @rule(who=holders)
    def commit(self, who: str) -> None:
        outcome = self.say(who, "commit")
        if outcome:
            self.check(outcome, self.model.commit())

    @rule(who=holders, number=st.one_of(st.none(), numbers))
    def rollback(self, who: str, number: int | None) -> None:
        wanted = None if number is None else self.releases[number].id
        outcome = self.say(who, "rollback", *([wanted] if wanted else []))
        if outcome:
            self.check(outcome, self.model.rollback(wanted))

    @rule()
    def the_deadline_passes(self) -> None:
        self.device.fire_timers()
        if self.model.state == TRIAL:
            self.model.back_from_trial()

    @rule()
    def recover_finds_nothing_to_do(self) -> None:
        assert self.device.done("--holder", "device", "recover")["did"] == "nothing"

    @rule(who=holders, keep=st.integers(0, 2))
    def gc(self, who: str, keep: int) -> None:
        before, needed = self.staged(), self.device.journal().needed
        outcome = self.say(who, "gc", "--keep", str(keep))
        if outcome:
            self.check(outcome, None)
            assert needed <= self.staged()
            assert len(self.staged() - needed) == min(keep, len(before - needed))

    @rule(who=holders)
    def take(self, who: str) -> None:
        if self.say(who, "lease", "take", "--ttl", str(TTL)):
            self.model.lease = who

    @rule(who=holders)
    def give(self, who: str) -> None:
        if self.say(who, "lease", "give"):
            self.model.lease = None

    @rule(reason=st.sampled_from(["on patrol", None]))
    def hold(self, reason: str | None) -> None:
        self.say("robot@device", "hold", *(["set", reason] if reason else ["clear"]))
        self.model.hold = reason

    @rule(seconds=st.sampled_from([DECADES, -DECADES]))
    def the_clock_jumps(self, seconds: int) -> None:
        self.device.clock.jump(seconds - self.device.clock.jumped)

    @rule()
    def an_hour_passes(self) -> None:
        self.device.clock.skip(3600)
        self.model.lease = None

    @rule()
    def status(self) -> None:
        data, model = self.device.done("status"), self.model
        assert (data["state"], data["target"]) == (model.state, model.target)
        assert data["release"] == (model.target if model.state == TRIAL else model.current)
        assert (data["lease"] or {}).get("holder") == model.lease
        assert (data["hold"] or {}).get("reason") == model.hold
        assert data["drift"] == []

    @rule(
        verb=st.sampled_from(["activate", "commit", "rollback"]),
        number=numbers,
        at=st.integers(1, 45),
        power=st.booleans(),
    )
    def it_dies(self, verb: str, number: int, at: int, power: bool) -> None:
        """Killed, or without power, in the middle; then the boot or the timers alone settle it."""
        before = self.device.journal()
        words = [verb, self.releases[number].id] if verb == "activate" else [verb]
        with suppress(PowerCut):
            self.device.say("--holder", self.model.lease or "ann@desk", *words, fuse=Fuse(at))
        if power:
            self.device.systemd.power_cut()
            self.device.done("--holder", "device", "recover")
            self.device.systemd.boot()
            self.model.lease = self.model.hold = None
        else:
            self.device.fire_timers()
            self.device.done("--holder", "device", "recover")
        after, allowed = self.device.journal(), {before.current}
        if verb == "commit":
            allowed.add(before.target or before.current)
        if verb == "rollback" and before.state == COMMITTED and before.previous and before.left is None:
            allowed.add(before.previous)
        assert after.state in (COMMITTED, EMPTY)
        assert after.current in allowed
        model = self.model
        model.state, model.current, model.previous = after.state, after.current, after.previous
        model.target, model.left = after.target, after.left

    @invariant()
    def journal_engine_and_disk_agree(self) -> None:
        if not hasattr(self, "device"):
            return
        journal, model = self.device.journal(), self.model
        assert (journal.state, journal.current, journal.previous, journal.target, journal.left) == (
            model.state,
            model.current,
            model.previous,
            model.target,
            model.left,
        )
        assert self.device.systemd.running_release() == journal.running
        for needed in journal.needed:
            release_store.load(self.device.paths, needed)
        waits = set(self.device.systemd.timers)
        assert waits == ({f"thor-trial-{journal.activation}"} if journal.state == TRIAL else set())


@pytest.fixture(autouse=True)
def counted(record_property: Callable[[str, object], None]) -> Iterator[None]:
    yield from sequences.counted(record_property)


TestAgent = Agent.TestCase
TestAgent.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
