"""What the machine is told in each phase, and to which state that leads where nobody cuts its power. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.vm.cut_verdict import NEW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.system.vm.cut_verdict import Shipped
    from tests.system.vm.power_cuts import Phase, Start

PLACE = "/home/thor/cut"  # on the device: the probe, and the documents of the releases
POLICY = "lab"  # of the project, for a real rollout
TRIAL_SECONDS = 86400  # no trial ends by itself here, however slow this host is

# In this order, each from where the one before ended.
WAY: tuple[tuple[Phase, Start, Start | None], ...] = (
    ("stage", "fresh", "staged"),
    ("activate", "staged", "trial"),
    ("trial", "trial", "smoked"),
    ("commit", "smoked", "committed"),
    ("rollback", "committed", None),
)


def command(phase: Phase, releases: Mapping[str, Shipped]) -> str:
    """The command that an operator of the new release gives in that phase."""
    new = releases[NEW].id
    words = {
        "stage": stage(NEW),
        "activate": f"activate {new} --deadline {TRIAL_SECONDS}",
        "trial": f"smoke {new}",
        "commit": f"commit {new}",
        "rollback": f"rollback {new}",
    }
    return agent(words[phase])


def rollout(name: str, releases: Mapping[str, Shipped]) -> str:
    """All of a rollout of ``name`` as `thorctl rollout` has the agent do it, up to the first that fails."""
    release = releases[name].id
    verbs = [stage(name), f"activate {release} --deadline {TRIAL_SECONDS}", f"smoke {release}"]
    return " && ".join(agent(verb) for verb in [*verbs, f"commit {release}"])


def stage(name: str) -> str:
    """The agent's verb that stages the release of that name."""
    return f"stage --release {PLACE}/{name}.json"


def agent(verb: str) -> str:
    """The installed agent, called as root by a person who is logged in."""
    return f"sudo thor-agent {verb}"
