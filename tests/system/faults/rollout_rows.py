"""The rows of rollouts. The end is the canary's; only a rollout that finished changes the second device."""

from __future__ import annotations

from tests.system.faults.row import Row

_PHASES = (
    "a rollout stages",
    "a rollout activates",
    "a rollout smokes",
    "a rollout soaks",
    "a rollout commits",
)
_THERE = ("activate:done", "commit:done")
_AND_BACK = ("activate:done", "rollback:done")

# Resumed, it goes on: activated once, committed once, whenever the controller was killed.
RESUMED = tuple(
    Row(phase, "the controller is killed and resumed", "finished", "committed", "new", _THERE)
    for phase in _PHASES
)
# Left alone, a device ends what it was told to do, and goes back from what nobody committed.
_ALONE = {"a rollout stages": ("old", ()), "a rollout commits": ("new", _THERE)}
ALONE = tuple(
    Row(phase, "the controller is killed, and nobody comes back", "interrupted", "committed", *end)
    for phase in _PHASES
    for end in [_ALONE.get(phase, ("old", _AND_BACK))]
)
_STOPPED_LOST = "stopped, with devices that need attention"
NETWORK = (
    Row("a rollout activates", "the network is cut", _STOPPED_LOST, "committed", "old", _AND_BACK),
    Row("a rollout smokes", "the network is cut", _STOPPED_LOST, "committed", "old", _AND_BACK),
    Row("a rollout soaks", "the network is cut", _STOPPED_LOST, "committed", "old", _AND_BACK),
    Row(
        "a rollout soaks",
        "the network is cut, comes back, and it is resumed",
        "stopped",
        "committed",
        "old",
        _AND_BACK,
    ),
)
OTHERS = (
    Row("a rollout begins", "nothing", "finished", "committed", "new", _THERE),
    Row("a rollout activates", "a second controller begins", "finished", "committed", "new", _THERE),
    Row("a rollout soaks", "a second controller begins", "finished", "committed", "new", _THERE),
)
RELEASE = (
    Row("a rollout begins", "the model babbles", "stopped", "committed", "old", _AND_BACK),
    Row("a rollout begins", "the model is slow", "stopped", "committed", "old", _AND_BACK),
    Row(
        "a rollout begins",
        "the engine is never ready",
        "stopped",
        "committed",
        "old",
        ("activate:engine_not_ready",),
    ),
    Row(
        "a rollout begins",
        "the engine dies at once",
        "stopped",
        "committed",
        "old",
        ("activate:engine_died",),
    ),
    Row("a rollout soaks", "the engine dies once in the soak", "stopped", "committed", "old", _AND_BACK),
    Row("a rollout soaks", "the engine dies in the soak for good", "stopped", "committed", "old", _AND_BACK),
)
ROWS = (*RESUMED, *ALONE, *NETWORK, *OTHERS, *RELEASE)
