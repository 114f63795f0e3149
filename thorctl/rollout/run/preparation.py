"""Prepare a rollout: the release of each device, the answers of the devices, and the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.inventory.pattern import shortened
from thorctl.protocol.identity import stranger, twins
from thorctl.protocol.owner import parse
from thorctl.protocol.results import Planned
from thorctl.protocol.states import COMMITTED, EMPTY
from thorctl.protocol.status import UNKNOWN, Status
from thorctl.release import find as made
from thorctl.release import profile as profiles
from thorctl.release.desired import deploy_problem, desired_releases
from thorctl.release.document import Release
from thorctl.remote.agent_call import run_verb
from thorctl.remote.shipped_agent import Question
from thorctl.remote.shipped_agent import look as look_at
from thorctl.rollout.model.outcomes import hold_of
from thorctl.rollout.model.waves import Candidate
from thorctl.rollout.plan import Rates, Seen
from thorctl.rollout.run.step_call import preflight_call
from thorctl.store import rollouts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thorctl.inventory.devices import Device
    from thorctl.remote.answer import Answer

PLAN_SECONDS = 300.0  # the agent hashes nothing for its plan, but asks a registry


@dataclass(frozen=True, slots=True)
class Given:
    """The release of each device: by its name, and the documents by their ids."""

    by_device: Mapping[str, Release]

    @property
    def documents(self) -> dict[str, Any]:
        """Release id -> document."""
        return {release.id: release.document() for release in self.by_device.values()}


def releases(deploy: Path, wanted: str, path: Path, devices: Sequence[Device]) -> Given:
    """The release that ``wanted`` (a profile, an id, a file or folder) means for each device.

    A profile gives each device class its own release; a release fits the devices of its class only.

    Raises:
        ThorError: ``device_class_missing``, ``release_unfit``, ``deploy_differs``, or whatever is wrong with
            the release.
    """
    for device in devices:
        if problem := device.unread or deploy_problem(deploy, device):
            raise problem
    nameless = [device.name for device in devices if device.device_class is None]
    if nameless:
        raise ThorError(
            "device_class_missing",
            f"The inventory gives no thor_device_class to {shortened(nameless)}.",
            "Set it for the device or its group.",
        )
    if wanted in profiles.names(deploy):
        profile = profiles.load(deploy, wanted)
        _check_fit(devices, profile.device_classes, f"Profile {wanted}")
        desired = desired_releases(deploy, devices, wanted)
    else:
        release = made.find(deploy, wanted, path)
        _check_fit(devices, (release.device_class.name,), f"Release {release.id}")
        desired = {device.name: release for device in devices}
    for one in desired.values():
        if isinstance(one, ThorError):
            raise one
    return Given({name: one for name, one in desired.items() if isinstance(one, Release)})


def _check_fit(devices: Sequence[Device], classes: Sequence[str], what: str) -> None:
    unfit = [
        f"{device.name} ({device.device_class})" for device in devices if device.device_class not in classes
    ]
    if unfit:
        raise ThorError(
            "release_unfit",
            f"{what} is made for {', '.join(classes)}, not for {shortened(unfit)}.",
            "Leave those devices out: 'all,!NAME'; or add their class to the profile.",
        )


def candidates(devices: Sequence[Device], given: Given) -> list[Candidate]:
    """The devices as the plan takes them; their groups of the inventory are their labels."""
    return [_candidate(device, given.by_device[device.name]) for device in devices]


def _candidate(device: Device, release: Release) -> Candidate:
    memory_bytes = release.memory.total_bytes if release.memory else None
    return Candidate(
        name=device.name,
        release=release.id,
        site=device.site,
        labels=device.groups,
        layout=release.schema_,
        memory_bytes=memory_bytes,
        keep_failed_seconds=device.keep_failed_seconds,
    )


def look(devices: Sequence[Device], given: Given) -> dict[str, Seen]:
    """Asks every device for its status; those that answer, what staging would fetch and whether they can.

    Where the installed agent does not read the release's layout, this thorctl's own agent answers the latter.
    """
    statuses = {one.device: one for one in run_verb(devices, "status")}
    answering = [device for device in devices if statuses[device.name].ok]
    plans: dict[str, Answer] = {}
    checks: dict[str, Answer] = {}
    for release in {release.id: release for release in given.by_device.values()}.values():
        mine = [device for device in answering if given.by_device[device.name].id == release.id]
        readers = [one for one in mine if release.schema_ in layouts(status_of(statuses[one.name]))]
        others = [one for one in mine if one not in readers]
        words, text = ("--release", "-"), release.text()
        plans |= _by_device(run_verb(readers, "plan", words, stdin=text, timeout=PLAN_SECONDS))
        plans |= _by_device(
            look_at([Question(one, "plan", words, text) for one in others], timeout=PLAN_SECONDS)
        )
        checks |= _by_device(_preflight(readers, release))
        document = release.document()
        checks |= _by_device(look_at([_preflight_question(one, document) for one in others]))
    found = {name: seen(status, plans.get(name), checks.get(name)) for name, status in statuses.items()}
    further = twins({name: one.identity for name, one in found.items()})
    return {name: replace(one, same_as=further.get(name)) for name, one in found.items()}


def layouts(status: Status) -> tuple[int, ...]:
    """Return the layouts of releases that the installed agent can roll out; none if it has no soak."""
    return status.agent_layouts if "soak" in status.agent_verbs else ()


def status_of(answer: Answer) -> Status:
    """The device's status; one that knows nothing where the answer is none."""
    return answer.get(Status) or UNKNOWN


def _by_device(answers: Sequence[Answer]) -> dict[str, Answer]:
    return {one.device: one for one in answers}


def _preflight_question(device: Device, document: Mapping[str, Any]) -> Question:
    call = preflight_call(document, device.preflight_skip)
    return Question(device, call.verb, call.words, call.stdin or "")


def _preflight(devices: Sequence[Device], release: Release) -> list[Answer]:
    """The rollout's own question, with the checks that each device's inventory leaves out."""
    found: list[Answer] = []
    for skip in dict.fromkeys(device.preflight_skip for device in devices):
        mine = [device for device in devices if device.preflight_skip == skip]
        call = preflight_call(release.document(), skip)
        found += run_verb(mine, call.verb, call.words, stdin=call.stdin)
    return found


def seen(status: Answer, plan: Answer | None, check: Answer | None = None) -> Seen:
    """Return the observation of a device from its answers to status, plan and preflight."""
    if status.error:
        return Seen(status.reached, remarks=(f"{status.error.code}: {status.error.message}",))
    found = status_of(status)
    planned = plan.get(Planned) if plan and plan.ok else None
    return Seen(
        reached=True,
        state=found.state,
        release=found.release,
        ready=found.engine.ready,
        download_bytes=planned.download_bytes if planned else None,
        hold=hold_of(found),
        layouts=layouts(found),
        conflict=bool(plan and plan.error and plan.error.code == "release_conflict"),
        remarks=tuple(_remarks(status.device, found, plan, check)),
        identity=found.identity,
    )


def _remarks(name: str, status: Status, plan: Answer | None, check: Answer | None) -> list[str]:
    found = []
    other = stranger(name, status.identity)
    if other:
        found.append(other)
    hold = hold_of(status)
    if hold is not None:
        found.append(f"on hold: {hold}")
    if status.lease:
        found.append(f"leased by {status.lease.unending}")
    if status.state not in {COMMITTED, EMPTY}:
        whose = f", begun by {parse(status.activated_by).words}" if status.activated_by else ""
        found.append(f"its state is {status.state}{whose}")
    if plan and plan.error:
        found.append(f"{plan.error.code}: {plan.error.message}")
    if check and check.error:
        failed = check.error.code == "preflight_failed"
        found.append(check.error.message if failed else f"{check.error.code}: {check.error.message}")
        if failed:
            return found  # room is among its checks
    planned = plan.get(Planned) if plan else None
    if planned and planned.free_bytes is not None and planned.free_bytes < planned.required_bytes:
        found.append(f"too little room: {planned.required_bytes} bytes needed, {planned.free_bytes} free")
    return found


def rates(db: sqlite3.Connection, devices: Sequence[Device]) -> dict[str, Rates]:
    """What was last measured on each device."""
    found = {}
    for device in devices:
        last = rollouts.measured(db, device.name)
        found[device.name] = Rates(last.bytes_per_second, last.switch_seconds, last.smoke_seconds)
    return found
