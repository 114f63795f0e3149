"""A step as words of the agent, and the end of a playbook's task as the agent's answer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.remote.answer import Answer, for_device
from thorctl.result import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.ansible_support.playbook import TaskEnd
    from thorctl.rollout.model.scheduler import Step
    from thorctl.rollout.run.controller import Begun

# Roles that bring the agent and what a release needs of the host; they run before the release is staged.
AGENT_ROLES = frozenset({"thor_host", "thor_door", "thor_nginx"})
# What the playbooks' own plugin says when nobody knows how the verb ended.
_SILENT = frozenset({"unreachable", "rebooted"})


def words_for(begun: Begun, skip: Sequence[str] = ()) -> list[str]:
    """The agent's verb and its arguments for a step; ``skip``: checks of the preflight."""
    step = begun.step
    if step.verb == "soak":
        return soak_words(step)
    return {
        "look": ["status"],
        "preflight": preflight_words(skip),
        "take": ["lease", "take", "--reason", step.reason, "--ttl", str(step.seconds)],
        "smoke": ["smoke", step.release],
        "commit": ["commit", step.release],
        "review": ["review", step.release, "--seconds", str(step.seconds)],
        "rollback": ["rollback", step.release, "--reason", step.reason],
        "give": ["lease", "give"],
    }[step.verb]


def soak_words(step: Step) -> list[str]:
    """The work of a soak, by the policy's figures."""
    assert step.work is not None  # noqa: S101 - the step is of a device that soaks under load
    return [
        *("soak", "start", step.release, "--steps", str(step.work.steps)),
        *("--concurrency", str(step.work.concurrency)),
        *("--minimum-rate", str(step.work.minimum_steps_per_second), "--pause-seconds", str(step.seconds)),
    ]


def preflight_words(skip: Sequence[str]) -> list[str]:
    """The preflight of the release that comes on its input, without the checks of ``skip``."""
    return ["preflight", "--release", "-", *(["--skip", ",".join(skip)] if skip else [])]


def answer_of(end: TaskEnd, verb: str) -> Answer | None:
    """What the end of a playbook's task says of ``verb``; None if the task was another that did not fail."""
    result = end.result
    if end.outcome == "unreachable":
        words = str(result.get("msg") or "ssh failed").strip()
        problem = Problem(
            "device_unreachable", words, f"Check it with `thorctl doctor --devices {end.device}`.", end.device
        )
        return Answer(end.device, error=problem, reached=False)
    found = result.get("agent")
    if end.outcome == "skipped":
        return None
    if end.outcome != "failed" and (end.action != "thor_agent" or _is_of_another(found, verb)):
        return None
    if isinstance(found, dict) and found.get("ok") is True and end.outcome == "ok":
        return Answer(end.device, object=found)
    return _failure(end, found if isinstance(found, dict) else None)


def _failure(end: TaskEnd, found: dict[str, Any] | None) -> Answer:
    if end.role in AGENT_ROLES:
        return _no_agent(end)
    code = str(end.result.get("code") or "agent_garbage")
    error = (found or {}).get("error")
    said = error.get("message") if isinstance(error, dict) else None
    remedy = error.get("remedy") if isinstance(error, dict) else None
    message = str(said or end.result.get("msg") or "The playbook failed without saying how.")
    silent = code in _SILENT
    code = {"timeout": "agent_timeout"}.get(code, "device_unreachable" if silent else code)
    problem = Problem(
        code,
        message,
        for_device(str(remedy or "See `thorctl history show ID DEVICE`."), end.device),
        end.device,
    )
    return Answer(end.device, object=found, error=problem, reached=not silent)


def _is_of_another(found: Any, verb: str) -> bool:
    return isinstance(found, dict) and found.get("verb") != verb


def _no_agent(end: TaskEnd) -> Answer:
    said = str(end.result.get("msg") or "no reason was given").strip()
    problem = Problem(
        "agent_not_installed",
        f"The agent that the release needs could not be installed: {end.task}: {said}",
        f"Run `cd playbooks && ansible-playbook site.yml --limit {end.device}`, then "
        "`thorctl rollout resume`.",
        end.device,
    )
    return Answer(end.device, error=problem)
