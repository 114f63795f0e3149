"""What the agent of a device in memory answers to each verb, and does for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.rollout.model_device import HOLDER, SOAK, Lease, ModelDevice, ViolationError
from thorctl.remote.answer import Answer
from thorctl.result import Problem

if TYPE_CHECKING:
    from tests.rollout.model_world import World
    from thorctl.rollout.model.scheduler import Step


def _ok(device: ModelDevice, verb: str, data: dict[str, Any]) -> Answer:
    return Answer(device.name, {"schema": 1, "verb": verb, "ok": True, "data": data, "error": None})


def error(
    device: ModelDevice,
    code: str,
    message: str,
    *,
    reached: bool = True,
    details: dict[str, Any] | None = None,
) -> Answer:
    found = {"ok": False, "data": {}, "error": {"code": code, "message": message, "details": details or {}}}
    return Answer(device.name, found if reached else None, Problem(code, message, "r", device.name), reached)


def _look(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.nature == "dies_in_soak" and device.state == "trial" and device.smoked:
        device.restarts += 1
    lease = device.lease
    return _ok(
        device,
        "status",
        {
            "name": device.answers_as or device.name,
            "machine": device.machine,
            "state": device.state,
            "release": device.running,
            "target": device.target,
            "since": str(device.since),
            "engine": {"unit": "active", "ready": device.running is not None, "restarts": device.restarts},
            "last_smoke": None
            if device.unmeasured
            else {"release": device.current, "passed": True, "tokens_per_second": 40.0},
            "review_seconds_left": round(device.deadline - world.time)
            if device.review and device.deadline
            else None,
            "lease": lease and {"holder": lease.holder, "reason": lease.reason},
            "hold": device.hold and {"reason": device.hold},
            "soak": device.work(world.time),
        },
    )


def _preflight(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.nature == "unfit":
        return error(device, "preflight_failed", "Preflight failed (memory).")
    return _ok(device, "preflight", {"release": step.release, "counts": {"fail": 0}})


def _stage(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.nature == "unfit":
        raise ViolationError(f"{device.name} is staged though its preflight fails")
    if device.nature == "bad_disk":
        return error(device, "disk_too_small", "no room")
    device.staged = True
    return _ok(device, "stage", {"release": step.release, "downloaded_bytes": 1000, "seconds": 10})


def _take(world: World, device: ModelDevice, step: Step) -> Answer:
    device.lease = Lease(HOLDER, step.reason, world.time + step.seconds)
    return _ok(device, "lease", {"lease": {"holder": HOLDER, "reason": step.reason}})


def _give(world: World, device: ModelDevice, step: Step) -> Answer:
    device.lease = None
    return _ok(device, "lease", {"lease": None})


def _activate(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.state != "activating":
        return error(device, "internal", "it was interrupted")
    if device.nature == "never_ready":
        device.go_back()
        return error(device, "engine_not_ready", "not ready")
    device.moved("trial")
    device.deadline = world.time + step.seconds
    return _ok(device, "activate", {"release": device.target, "state": "trial", "ready_seconds": 30})


def _smoke(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.state == "committed" and device.current == step.release:
        device.unmeasured = False
        good = {"release": step.release, "passed": True, "tokens_per_second": 40.0, "generations": []}
        return _ok(device, "smoke", good)
    if device.state != "trial" or device.target != step.release:
        return error(device, "bad_state", "no trial")
    if device.nature == "garbage":
        return error(device, "agent_garbage", "no JSON")
    if device.nature in {"smoke_fails", "first_fails"}:
        return error(device, "smoke_failed", "babbles")
    device.smoked, device.smoke_at = True, world.time
    speed = 10.0 if device.nature == "slow" else 40.0
    return _ok(
        device,
        "smoke",
        {
            "release": step.release,
            "passed": True,
            "tokens_per_second": speed,
            "generations": [],
            "seconds": 10,
        },
    )


def _soak(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.state != "trial" or device.target != step.release:
        return error(device, "bad_state", "no trial")
    if not device.smoked:
        raise ViolationError(f"{device.name} is worked before its smoke test")
    device.worked_from = world.time if device.worked_from is None else device.worked_from
    return _ok(device, "soak", {"soak": device.work(world.time)})


def _review(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.state != "trial" or device.target != step.release or device.current is not None:
        return error(device, "bad_state", "no trial of a first release")
    if device.smoked:
        raise ViolationError(f"{device.name} is kept for review though its smoke test passed")
    if not device.review:
        device.review, device.deadline = True, world.time + step.seconds
    return _ok(device, "review", {"release": device.target, "state": "trial", "deadline": "tomorrow"})


def _commit(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.state != "trial" or device.target != step.release:
        return error(device, "bad_state", "no trial")
    if not device.smoked:
        return error(device, "smoke_missing", "no smoke")
    world.watch("commit", device)
    if device.nature != "well":
        raise ViolationError(f"{device.name} is committed though it is {device.nature}")
    if world.time - device.smoke_at < SOAK:
        raise ViolationError(
            f"{device.name} is committed after a soak of {world.time - device.smoke_at:.0f} s"
        )
    device.previous, device.current, device.target, device.deadline = (
        device.current,
        device.target,
        None,
        None,
    )
    device.moved("committed")
    return _ok(device, "commit", {"release": device.current, "state": "committed"})


def _rollback(world: World, device: ModelDevice, step: Step) -> Answer:
    if device.state in {"activating", "trial"} and device.target == step.release:
        device.go_back()
    elif device.left != step.release:
        if device.current != step.release:
            return error(device, "bad_state", f"{step.release} does not run here")
        if device.previous is None:
            return error(device, "nothing_to_roll_back", "nothing before")
        device.go_back()
    return _ok(device, "rollback", {"release": device.current, "state": device.state, "from": device.left})


VERBS = {
    "look": _look,
    "preflight": _preflight,
    "stage": _stage,
    "take": _take,
    "give": _give,
    "activate": _activate,
    "smoke": _smoke,
    "soak": _soak,
    "commit": _commit,
    "review": _review,
    "rollback": _rollback,
}
