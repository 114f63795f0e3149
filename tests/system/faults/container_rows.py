"""The rows of container devices. The agent's own come first, with the same ends: a real machine must agree.

The others are faults that only a real machine has. Where a row's ``answer`` is an error, it is the one that
tells an operator the cause. Not here: clock jumps, as a container has the clock of its host.
"""

from __future__ import annotations

from tests.system.faults import agent_rows
from tests.system.faults.row import Row

_NOT_OF_A_CONTAINER = {"the clock jumps ahead", "the clock jumps back"}
# The engine's own Docker is what the agent's doubles leave out: these have rows of their own below.
_OTHERWISE_HERE = {"rolling back × Docker is gone", "rolling back from committed × Docker is gone"}
AS_THE_AGENT = tuple(
    row for row in agent_rows.ROWS if row.fault not in _NOT_OF_A_CONTAINER and row.name not in _OTHERWISE_HERE
)

_FAILED_SMOKE = ("smoke:smoke_failed", "commit:smoke_missing", "rollback:done")


def _back_to_old(state: str, fault: str, answer: str, *record: str) -> Row:
    return Row(state, fault, answer, "committed", "old", record)


DOCKER = (
    _back_to_old("pulling", "dockerd is killed", "done", "stage:done"),  # pulled again
    _back_to_old("staging", "dockerd is killed", "done", "stage:done"),  # a download needs no Docker
    Row("activating", "dockerd is killed", "done", "trial", "new", ("activate:done",)),
    Row("trial", "dockerd is killed, no verb at work", "done", "trial", "new", ()),
    _back_to_old("trial", "dockerd is killed, and nobody comes back", "done", "rollback:done"),
    Row("committing", "dockerd is killed", "done", "committed", "new", ("commit:done",)),
    _back_to_old("rolling back", "dockerd is killed", "done", "rollback:done"),
    _back_to_old("rolling back from committed", "dockerd is killed", "done", "rollback:done"),
    _back_to_old("committed", "dockerd is killed, no verb at work", "done"),
    # In order, as its package's upgrade does.
    _back_to_old("pulling", "Docker is restarted", "done", "stage:done"),
    _back_to_old("pulling", "Docker is stopped for a while", "done", "stage:done"),
    _back_to_old("staging", "Docker is stopped for a while", "done", "stage:done"),
    Row("activating", "Docker is restarted", "done", "trial", "new", ("activate:done",)),
    Row("activating", "Docker is stopped for a while", "done", "trial", "new", ("activate:done",)),
    Row(
        "activating", "Docker is restarted while the engine ends", "done", "trial", "new", ("activate:done",)
    ),
    Row("trial", "Docker is stopped for a while, no verb at work", "done", "trial", "new", ()),
    _back_to_old("rolling back", "Docker is restarted", "done", "rollback:done"),
    _back_to_old("rolling back", "Docker is stopped for a while", "done", "rollback:done"),
    _back_to_old("rolling back", "Docker is restarted while the engine ends", "done", "rollback:done"),
    _back_to_old("committed", "Docker is stopped for a while, no verb at work", "done"),
    _back_to_old("activating", "Docker hangs", "docker_unavailable", "activate:docker_unavailable"),
    _back_to_old("rolling back", "Docker hangs for a while", "done", "rollback:done"),
    _back_to_old("rolling back", "the old image is deleted", "done", "rollback:done"),
    _back_to_old("rolling back from committed", "the old image is deleted", "done", "rollback:done"),
    _back_to_old(
        "activating",
        "the old image is deleted and the new engine dies",
        "engine_died",
        "activate:engine_died",
    ),
    # Without Docker nothing can start: the verb cannot say that it is done, and the device tries again.
    _back_to_old("rolling back", "Docker is gone", "internal", "rollback:internal", "rollback:done"),
    _back_to_old(
        "rolling back from committed", "Docker is gone", "internal", "rollback:internal", "rollback:done"
    ),
)
NETWORK = (
    _back_to_old("pulling", "it is gone", "image_pull_failed", "stage:image_pull_failed"),
    _back_to_old("pulling", "it is gone half way", "image_pull_failed", "stage:image_pull_failed"),
    _back_to_old(
        "pulling", "it is gone half way and comes back", "done", "stage:image_pull_failed", "stage:done"
    ),
    _back_to_old("staging", "it is gone", "download_interrupted", "stage:download_interrupted"),
    _back_to_old("staging", "it is gone half way", "download_interrupted", "stage:download_interrupted"),
    _back_to_old(
        "staging", "it is gone half way and comes back", "done", "stage:download_interrupted", "stage:done"
    ),
    _back_to_old("staging", "other bytes come", "file_wrong_hash", "stage:file_wrong_hash"),
    _back_to_old("pulling", "the network is cut", "died", "stage:done"),
    _back_to_old("staging", "the network is cut", "died", "stage:done"),
    Row("activating", "the network is cut", "died", "trial", "new", ("activate:done",)),
    _back_to_old(
        "activating", "the network is cut, and nobody comes back", "died", "activate:done", "rollback:done"
    ),
    Row("smoking", "the network is cut", "died", "trial", "new", ("smoke:done",)),
    _back_to_old(
        "smoking", "the network is cut, and nobody comes back", "died", "smoke:done", "rollback:done"
    ),
    Row("committing", "the network is cut", "died", "committed", "new", ("commit:done",)),
    _back_to_old("rolling back", "the network is cut", "died", "rollback:done"),
    _back_to_old("rolling back from committed", "the network is cut", "died", "rollback:done"),
)
ENGINE = (
    _back_to_old("smoking", "the model says nothing at all", "smoke_failed", *_FAILED_SMOKE),
    _back_to_old("smoking", "the model says the same to everybody", "smoke_failed", *_FAILED_SMOKE),
    _back_to_old("smoking", "the model's server answers with errors", "smoke_failed", *_FAILED_SMOKE),
    _back_to_old("smoking", "the model thinks and never answers", "smoke_failed", *_FAILED_SMOKE),
    Row("activating", "the engine is slow to start", "done", "trial", "new", ("activate:done",)),
    Row(
        "activating", "the engine does not hear that it is to end", "done", "trial", "new", ("activate:done",)
    ),
    _back_to_old("rolling back", "the engine does not hear that it is to end", "done", "rollback:done"),
    _back_to_old("trial", "the engine ends again and again", "done", "rollback:done"),
    Row("trial", "the engine's process is killed", "done", "trial", "new", ()),
    _back_to_old("committed", "the engine's process is killed", "done"),
    _back_to_old("trial", "no memory", "done", "rollback:done"),
    _back_to_old("committed", "no memory", "done"),
)
DEVICE = (
    Row("activating", "another's lease has run out", "done", "trial", "new", ("activate:done",)),
    Row("activating", "the device holds and is passed over", "done", "trial", "new", ("activate:done",)),
    _back_to_old("smoking", "it hangs past the deadline", "internal", "smoke:internal", "rollback:done"),
    _back_to_old("pulling", "nothing", "done", "stage:done"),
    _back_to_old("pulling", "the agent is killed", "died", "stage:?"),
    _back_to_old("pulling", "power cut", "died", "stage:?", "recover:done"),
    _back_to_old("smoking", "the agent is killed", "died", "smoke:?", "rollback:done"),
    _back_to_old("smoking", "power cut", "died", "smoke:?", "recover:done"),
    _back_to_old("trial", "nobody comes back for twenty seconds", "done", "activate:done", "rollback:done"),
    _back_to_old("rolling back", "a file of the old release is damaged", "done", "rollback:done"),
)
ROWS = (*AS_THE_AGENT, *DOCKER, *NETWORK, *ENGINE, *DEVICE)
