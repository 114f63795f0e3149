"""The engine against random fleets, answers, orders and deaths of its controller (hypothesis, stateful).

The world itself watches while a rollout runs (model_world.py, fleets.py): no step before its record, no
activation without need, without a lease, before the canary is well, after a stop or beyond ``parallel``; no
commit of a release that is not well or was not watched for its soak. At the end, with every device back and
a controller that lives, nobody may be forgotten, on trial or leased, and the record must say what is true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.rollout.fleets import Fleet
from tests.rollout.model_controller import Killed
from tests.rollout.model_device import HOLDER, NATURES, NEW, OLD, Lease, ModelDevice
from tests.support import sequences
from tests.support.sequences import CountedMachine, how_many
from thorctl.rollout.journal.replay import fold
from thorctl.rollout.model.phases import PREPARED, UNTOUCHED, Phase
from thorctl.rollout.model.state import begin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# More of them: THORCTL_SEQUENCES=5000 pytest tests/rollout/run/test_controller_model.py
EXAMPLES, STEPS = how_many(150), 30
LEAVE_SECONDS = 60.0
pytestmark = pytest.mark.timeout(sequences.TIMEOUT)

# Shut often enough for a device to be caught by it, and short enough to be waited for.
WINDOWS = {
    "default": {"zone": "UTC", "open": [f"{hour:02}:00-{hour:02}:50" for hour in range(24)]},
    "closing_margin_minutes": 5,
}
natures = st.sampled_from(("well",) * 5 + NATURES)
policies = st.fixed_dictionaries(
    {
        "canary": st.sampled_from([{"count": 1}, {"site": "a"}]),
        "waves": st.sampled_from([[{"rest": True}], [{"count": 2}, {"rest": True}], [{"each": "site"}]]),
        "parallel": st.integers(1, 4),
        "stage_parallel": st.integers(1, 4),
        "success_percent": st.sampled_from([30, 60, 100]),
        "errors": st.sampled_from([{"stop_at_percent": 40}, {"stop_at_devices": 2}, {"stop_at_percent": 90}]),
        "offline": st.sampled_from([{}, {"budget_devices": 1}, {"budget_percent": 30}]),
        "on_stop": st.sampled_from(["keep", "return"]),
        "review_seconds": st.sampled_from([0, 3000, 86400]),
        "approve": st.sampled_from(["never", "never", "after_canary", "each_wave"]),
        "windows": st.sampled_from([None, None, WINDOWS]),
        "work": st.just({"waves": "all"}),  # only work finds a release that hangs in its soak
        "wait": st.sampled_from(
            [
                {},
                {"silence_seconds": 20, "lease_seconds": 30, "evidence_seconds": 60},
                {"hold_seconds": 90},
                {"hold_seconds": 4000},
            ]
        ),
    }
)
numbers = st.integers(0, 7)
holds = st.sampled_from(["on patrol", "an antenna is mounted"])


class Rollouts(CountedMachine):
    """A fleet in trouble, and the rollout that has to get through it."""

    fleet: Fleet

    @initialize(natures=st.lists(natures, min_size=2, max_size=7), wish=policies)
    def begin(self, natures: list[str], wish: dict[str, Any]) -> None:
        self.fleet = Fleet.of(*natures, **wish)

    def device(self, number: int) -> ModelDevice:
        return self.fleet.devices[number % len(self.fleet.devices)]

    @rule(rounds=st.integers(1, 60), blow_at=st.one_of(st.none(), st.integers(1, 40)))
    def work(self, rounds: int, blow_at: int | None) -> None:
        """A controller works for a while; it may die at any moment in it."""
        try:
            if self.fleet.engine is None:
                self.fleet.start(blow_at)
            assert self.fleet.engine
            for _ in range(rounds):
                todo = self.fleet.engine.turn()
                if todo.over:
                    self.fleet.check_the_end()
                    self.fleet.kill()
                    return
        except Killed:
            self.fleet.kill()

    @rule()
    def kill(self) -> None:
        self.fleet.kill()

    @rule()
    @precondition(lambda self: self.fleet.engine is not None)
    def leave(self) -> None:
        """Ctrl-C: nobody keeps a lease that nothing was done with, once its answers have come."""
        fleet = self.fleet
        assert fleet.engine
        try:
            fleet.engine.leave("left by ann@desk", LEAVE_SECONDS)
            for device in fleet.devices:
                one = fleet.state.devices[device.name]
                if device.linked and one.phase in UNTOUCHED:
                    assert device.lease is None or device.lease.holder != HOLDER, (device, one)
        except Killed:
            pass
        fleet.kill()

    @rule(seconds=st.sampled_from([5, 40, 400, 5000]))
    @precondition(lambda self: self.fleet.engine is None)
    def nobody_watches(self, seconds: int) -> None:
        self.fleet.world.pass_time(seconds)

    @rule(number=numbers)
    def cut_or_mend_the_link(self, number: int) -> None:
        device = self.device(number)
        device.linked = not device.linked

    @rule(number=numbers)
    def power_cut(self, number: int) -> None:
        self.fleet.world.power_cut(self.device(number).name)

    @rule(number=numbers)
    def forget_the_last_smoke(self, number: int) -> None:
        self.device(number).unmeasured = True

    @rule(number=numbers, reason=holds)
    def hold_or_let_go(self, number: int, reason: str) -> None:
        device = self.device(number)
        device.hold = None if device.hold else reason

    @rule(number=numbers, reason=holds)
    def pass_over_a_hold(self, number: int, reason: str) -> None:
        self.fleet.record.order(self.fleet.world, "over_hold", device=self.device(number).name, hold=reason)

    @rule(number=numbers, reason=st.sampled_from(["by hand", "rollout 20261124-9"]), force=st.booleans())
    def somebody_leases(self, number: int, reason: str, force: bool) -> None:
        device = self.device(number)
        if device.lease is None or force:
            device.lease = Lease("carl@lab", reason, self.fleet.world.time + 300)

    @rule(number=numbers, accepts=st.booleans())
    def somebody_ends_a_review(self, number: int, accepts: bool) -> None:
        """By hand, which our lease would refuse."""
        device = self.device(number)
        if not device.review or device.lease is not None or device.working is not None:
            return
        if not accepts:
            device.go_back()
            return
        device.current, device.target, device.deadline, device.accepted = device.target, None, None, True
        device.moved("committed")

    @rule(kind=st.sampled_from(["paused", "approved", "approved", "aborted"]), returns=st.booleans())
    def order(self, kind: str, returns: bool) -> None:
        """An operator says something, whoever runs the rollout."""
        state = fold(begin(self.fleet.rollout), self.fleet.record.lines)
        wave = state.wave + 1 if kind == "approved" else None
        data: dict[str, Any] = {"returns": returns} if kind == "aborted" else {}
        self.fleet.record.order(self.fleet.world, kind, wave, **data)

    @invariant()
    def every_answer_had_its_question(self) -> None:
        if not hasattr(self, "fleet"):
            return
        begun: set[int] = set()
        for line in self.fleet.record.lines:
            if line.kind == "step_begun":
                begun.add(line.id)
            elif line.kind == "step_ended":
                assert line.step in begun
                begun.discard(line.step)

    def teardown(self) -> None:
        """Everything comes back, and the rollout is taken to its end."""
        if not hasattr(self, "fleet"):
            return
        fleet = self.fleet
        fleet.kill()
        for device in fleet.devices:
            device.linked, device.hold = True, None
        self.to_the_end()
        fleet.kill()
        fleet.world.pass_time(20_000)  # every deadline and every lease of before is over
        ended = self.to_the_end()
        assert ended in {"finished", "stopped", "aborted"}, (ended, fleet.phases())
        for device in fleet.devices:
            self.check(device, stopped=ended != "finished")
        self.check_the_cap()
        super().teardown()

    def to_the_end(self) -> str | None:
        """How it ended, with every approval that was asked for."""
        ended = self.fleet.run()
        for _ in range(10):
            if ended != "asked":
                break
            self.fleet.record.order(self.fleet.world, "approved", wave=self.fleet.state.wave + 1)
            ended = self.fleet.run()
        return ended

    def check(self, device: ModelDevice, *, stopped: bool) -> None:
        one = self.fleet.state.devices[device.name]
        if device.nature == "first_fails" and not device.accepted:
            self.check_first(device, one)
            return
        assert device.state == "committed", f"{device.name} is {device.state}"
        assert device.current in {OLD, NEW}
        assert device.lease is None or device.lease.holder != HOLDER, f"{device.name} is still leased"
        assert device.nature == "well" or device.accepted or device.current == OLD, (
            f"{device.name} keeps a bad release"
        )
        assert (device.current == NEW) == (one.phase is Phase.UPDATED), (device.current, one.phase, one.why)
        settled = {Phase.UPDATED, Phase.FAILED, Phase.ROLLED_BACK}
        untouched = UNTOUCHED - PREPARED | {Phase.ABSENT}
        assert one.phase in (settled | untouched if stopped else settled), (
            f"{device.name} is forgotten: {one}"
        )
        assert device.name not in self.fleet.state.open

    def check_first(self, device: ModelDevice, one: Any) -> None:
        """A first release that fails its smoke test serves only while it is kept for review."""
        assert device.lease is None or device.lease.holder != HOLDER, f"{device.name} is still leased"
        assert device.state == ("trial" if device.review else "empty"), device
        assert device.review == (one.phase is Phase.IN_REVIEW), (device, one)

    def check_the_cap(self) -> None:
        """Once a limit is reached no further device is activated, so no more can fail than were under way."""
        lines = self.fleet.record.lines
        stop = next((line.id for line in lines if line.kind in {"stopped", "aborted"}), None)
        late = [line for line in lines if line.verb == "activate" and line.kind == "step_begun"]
        assert stop is None or all(line.id < stop for line in late)
        devices, errors = self.fleet.state.devices.values(), self.fleet.rollout.policy["errors"]
        failed = sum(one.phase in {Phase.FAILED, Phase.IN_REVIEW, Phase.UNREACHABLE} for one in devices)
        cap, percent = errors["stop_at_devices"], errors["stop_at_percent"]
        reached = cap is not None and failed >= cap
        reached |= percent is not None and failed > 0 and failed / len(devices) >= percent / 100
        assert stop is not None or not reached, f"{failed} of {len(devices)} failed and nothing stopped"


@pytest.fixture(autouse=True)
def counted(record_property: Callable[[str, object], None]) -> Iterator[None]:
    yield from sequences.counted(record_property)


Rollouts.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestRollouts = Rollouts.TestCase
