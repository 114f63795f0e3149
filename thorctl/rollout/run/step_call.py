"""Calls of the agent for the steps of a rollout, and for ``thorctl stage`` and ``activate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.remote.call import Call, call_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thorctl.rollout.model.scheduler import Step


def call_of(step: Step, document: Mapping[str, Any] | None = None, skip: Sequence[str] = ()) -> Call:
    """The call of a step.

    Args:
        document: the release that ``preflight`` and ``stage`` are about.
        skip: checks of the preflight that the device's inventory leaves out.
    """
    words = {
        "smoke": (step.release,),
        "commit": (step.release,),
        "review": (step.release, "--seconds", str(step.seconds)),
        "rollback": (step.release, "--reason", step.reason),
    }
    calls: dict[str, Callable[[], Call]] = {
        "look": lambda: Call("status"),
        "preflight": lambda: preflight_call(document, skip),
        "stage": lambda: stage_call(document),
        "take": lambda: Call("lease", ("take", "--reason", step.reason, "--ttl", str(step.seconds))),
        "activate": lambda: activate_call(step.release, step.seconds, step.over_hold),
        "soak": lambda: _soak_call(step),
        "give": lambda: Call("lease", ("give",)),
    }
    return Call(step.verb, words[step.verb]) if step.verb in words else calls[step.verb]()


def preflight_call(document: Mapping[str, Any] | None, skip: Sequence[str] = ()) -> Call:
    """The preflight of a release, without the checks of ``skip``."""
    return call_for("preflight", document, ["--skip", ",".join(skip)] if skip else [])


def stage_call(document: Mapping[str, Any] | None) -> Call:
    """Put all bytes of a release on the device."""
    return call_for("stage", document, ())


def activate_call(release: str, trial_seconds: int, over_hold: str | None = None) -> Call:
    """Switch to a staged release. A hold may have any text, also one that begins with a dash."""
    over = () if over_hold is None else (f"--over-hold={over_hold}",)
    return Call("activate", (release, f"--deadline={trial_seconds}", *over))


def _soak_call(step: Step) -> Call:
    """The work of a soak, by the policy's figures."""
    assert step.work is not None  # noqa: S101 - the step is of a device that soaks under load
    words = {
        "--steps": step.work.steps,
        "--concurrency": step.work.concurrency,
        "--minimum-rate": step.work.minimum_steps_per_second,
        "--pause-seconds": step.seconds,
    }
    return Call("soak", ("start", step.release, *(str(one) for pair in words.items() for one in pair)))
