"""``soak-work``: the process of a soak. It puts the engine under load and records its health every second.

It takes no lock, so commit and rollback do not wait for it. It ends with its trial.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from thorctl.agent.bench import metrics as bench_metrics
from thorctl.agent.bench.call import PROMPTS
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.engine import endpoint
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.engine.api_key import api_key
from thorctl.agent.engine.client import EngineClient
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import SOCKET_LAYOUT
from thorctl.agent.soak import record, watch
from thorctl.agent.soak.kernel_log import KernelLog
from thorctl.agent.soak.record import FAILED, Record
from thorctl.agent.soak.streams import Streams
from thorctl.agent.soak.watch import Seen, Watch
from thorctl.agent.state.journal import load_journal
from thorctl.agent.verbs import hold
from thorctl.agent.verbs.soak import container_start
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.states import TRIAL
from thorctl.protocol.status import SoakShown

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release

LOOK_SECONDS = 1.0
SLOW_LOOKS = 5  # unit, container and kernel log are read by programs that take some 20 ms each
PROBE_SECONDS = 20.0  # interval of requests for one token
SETTLE_SECONDS = 5.0  # after a broken stream, until systemd has detected that the engine ended
TOKENS = 512  # per generation: long decodes, but no long wait for other requests
PROMPT_TOKENS = 256
LOW_PRIORITY = 1_000_000  # vLLM serves the lowest number first; the default is 0


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Load the engine until the trial of this activation ends.

    Raises:
        AgentError: ``bad_state``: no soak was started for it.
    """
    known = record.load(ctx)
    if known is None or known.activation != args.activation:
        raise AgentError(
            "bad_state", "No soak was started on this device.", "Start one: `sudo thor-agent soak start`."
        )
    release = release_store.load(ctx.paths, known.release)
    worker = _Worker(ctx, known, release)
    try:
        while worker.on_trial():
            worker.look()
            record.save(ctx, known)
            ctx.clock.sleep(LOOK_SECONDS)
    finally:
        worker.end()
    return Outcome(SoakShown(record.public(ctx, known)))


@dataclass(frozen=True)
class _Slow:
    """Observations that are made less often."""

    unit: str | None
    restarts: int | None


class _Worker:
    def __init__(self, ctx: Context, known: Record, release: Release) -> None:
        self._ctx, self._record = ctx, known
        options = _options(release)
        priority = options.get("scheduling-policy") == "priority"
        self._watch = Watch(known, priority=priority)
        self._kernel = KernelLog(ctx, known.since)
        self._client = EngineClient(endpoint.dial(ctx, release), api_key(ctx))
        silence = 2 * watch.HANG_SECONDS  # the watch detects a hang first
        self._load = Streams(
            self._client, partial(_body, release, options, priority), at_once=_at_once(known, options),
            silence_seconds=silence,
        )  # fmt: skip
        self._probe = Streams(
            self._client, partial(_one_token, release), at_once=1, silence_seconds=silence,
            every_seconds=PROBE_SECONDS,
        )  # fmt: skip
        self._looks = count()
        self._slow = _Slow(None, None)
        self._faulty_since: float | None = None
        self._working = False
        self._generations = known.generations

    def on_trial(self) -> bool:
        """Return whether the trial that is soaked has not ended."""
        try:
            journal = load_journal(self._ctx.paths)
        except AgentError:
            return False
        return journal.state == TRIAL and journal.activation == self._record.activation

    def end(self) -> None:
        """Close all connections."""
        self._load.end()
        self._probe.end()

    def look(self) -> None:
        """Observe once, record it, and adjust the load."""
        held = hold.current(self._ctx)
        ours = self._load.in_flight + self._probe.in_flight
        text = self._client.text("/metrics")
        if next(self._looks) % SLOW_LOOKS == 0 or self._faulty_since is not None:
            self._slow = self._look_slowly()
        running, waiting = (
            bench_metrics.total(text, name) for name in (bench_metrics.RUNNING, bench_metrics.WAITING)
        )
        self._record.generations = self._generations + self._load.generations
        self._watch.take(
            Seen(
                at=self._ctx.clock.monotonic(),
                tokens=bench_metrics.total(text, bench_metrics.GENERATED),
                iterations=bench_metrics.total(text, bench_metrics.ITERATIONS),
                requests=None if running is None or waiting is None else running + waiting,
                ours=max(ours, self._load.in_flight + self._probe.in_flight),
                pieces=self._load.pieces + self._probe.pieces,
                working=self._working,
                hold=held.reason if held else "",
                unit=self._slow.unit,
                restarts=self._slow.restarts,
                faults=self._faults(),
            )
        )
        self._steer(held=held is not None)

    def _steer(self, *, held: bool) -> None:
        self._working = self._watch.works
        if self._working:
            self._load.resume()
        else:
            self._load.pause()
        if held or self._record.state == FAILED:
            self._probe.pause()
        else:
            self._probe.resume()

    def _faults(self) -> tuple[str, ...]:
        """Return failed generations, after systemd has had time to detect an ended engine."""
        found, now = (*self._load.faults, *self._probe.faults), self._ctx.clock.monotonic()
        if found and self._faulty_since is None:
            self._faulty_since = now
        settled = self._faulty_since is not None and now - self._faulty_since >= SETTLE_SECONDS
        return found if settled else ()

    def _look_slowly(self) -> _Slow:
        found = self._kernel.read()
        self._record.xid = None if found is None else tuple(found)
        try:
            engine = engine_unit.state(self._ctx)
        except AgentError:
            return _Slow(None, None)
        restarts = max(0, engine.restarts - self._record.restarts_before)
        before, now = self._record.container, container_start(self._ctx)
        other = before is not None and now is not None and before != now
        return _Slow(engine.active, max(restarts, int(other)))


def _options(release: Release) -> dict[str, Any]:
    found: dict[str, Any] = release.document["profile"]["serve"]
    return release.document["options"] if release.layout == SOCKET_LAYOUT else found


def _at_once(known: Record, options: dict[str, Any]) -> int:
    """Return the number of concurrent requests; one slot stays free for other clients."""
    most = options.get("max-num-seqs")
    return (
        max(1, min(known.asked.concurrency, most - 1)) if isinstance(most, int) else known.asked.concurrency
    )


def _body(release: Release, options: dict[str, Any], priority: bool, number: int) -> dict[str, Any]:
    length = options.get("max-model-len")
    tokens = max(16, min(TOKENS, length - PROMPT_TOKENS)) if isinstance(length, int) else TOKENS
    body = {
        "model": release.model,
        "messages": [{"role": "user", "content": PROMPTS[number % len(PROMPTS)]}],
        "max_completion_tokens": tokens,
        "ignore_eos": True,
        "seed": number,
    }
    return body | ({"priority": LOW_PRIORITY} if priority else {})


def _one_token(release: Release, number: int) -> dict[str, Any]:  # noqa: ARG001 - all are equal
    return {
        "model": release.model,
        "messages": [{"role": "user", "content": PROMPTS[0]}],
        "max_completion_tokens": 1,
        "ignore_eos": True,
    }
