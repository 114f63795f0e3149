"""Before a rollout: which release each device gets, what the devices say, and the plan that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.inventory.pattern import shortened
from thorctl.protocol.identity import identity_of, stranger, twins
from thorctl.protocol.owner import held_words, parse
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
from thorctl.rollout.run.verb_call import preflight_words
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
            exit_code=2,
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
            exit_code=2,
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
        readers = [one for one in mine if release.schema_ in layouts(statuses[one.name].data)]
        others = [one for one in mine if one not in readers]
        words, text = ("--release", "-"), release.text()
        plans |= _by_device(run_verb(readers, "plan", words, stdin=text, timeout=PLAN_SECONDS))
        plans |= _by_device(
            look_at([Question(one, "plan", words, text) for one in others], timeout=PLAN_SECONDS)
        )
        checks |= _by_device(_preflight(readers, release))
        questions = [_preflight_question(one, text) for one in others]
        checks |= _by_device(look_at(questions))
    found = {name: seen(status, plans.get(name), checks.get(name)) for name, status in statuses.items()}
    further = twins({name: one.identity for name, one in found.items()})
    return {name: replace(one, same_as=further.get(name)) for name, one in found.items()}


def layouts(status: Mapping[str, Any]) -> tuple[int, ...]:
    """Layouts of releases with which the installed agent can take part: none where it cannot work a soak."""
    if "soak" not in status:
        return ()
    found = status.get("agent_layouts")
    return tuple(found) if isinstance(found, list) else (1,)


def _by_device(answers: Sequence[Answer]) -> dict[str, Answer]:
    return {one.device: one for one in answers}


def _preflight_question(device: Device, document: str) -> Question:
    verb, *words = preflight_words(device.preflight_skip)
    return Question(device, verb, tuple(words), document)


def _preflight(devices: Sequence[Device], release: Release) -> list[Answer]:
    """The rollout's own question, with the checks that each device's inventory leaves out."""
    found: list[Answer] = []
    for skip in dict.fromkeys(device.preflight_skip for device in devices):
        mine = [device for device in devices if device.preflight_skip == skip]
        verb, *words = preflight_words(skip)
        found += run_verb(mine, verb, words, stdin=release.text())
    return found


def seen(status: Answer, plan: Answer | None, check: Answer | None = None) -> Seen:
    """What a device's answers to status, plan and preflight say of it."""
    if status.error:
        return Seen(status.reached, remarks=(f"{status.error.code}: {status.error.message}",))
    data = status.data
    engine = data.get("engine")
    download = plan.data.get("download_bytes") if plan and plan.ok else None
    return Seen(
        reached=True,
        state=data.get("state"),
        release=data.get("release"),
        ready=engine.get("ready") if isinstance(engine, dict) else None,
        download_bytes=download if isinstance(download, int) else None,
        hold=hold_of(data),
        layouts=layouts(data),
        conflict=bool(plan and plan.error and plan.error.code == "release_conflict"),
        remarks=tuple(_remarks(status.device, data, plan, check)),
        identity=identity_of(data),
    )


def _remarks(name: str, data: Mapping[str, Any], plan: Answer | None, check: Answer | None) -> list[str]:
    found = []
    other = stranger(name, identity_of(data))
    if other:
        found.append(other)
    hold = hold_of(data)
    if hold is not None:
        found.append(f"on hold: {hold}")
    if isinstance(data.get("lease"), dict):
        found.append(f"leased by {held_words({**data['lease'], 'expires_at': None})}")
    if data.get("state") not in {"committed", "empty"}:
        by = data.get("activated_by")
        whose = f", begun by {parse(by).words}" if isinstance(by, str) else ""
        found.append(f"its state is {data.get('state')}{whose}")
    if plan and plan.error:
        found.append(f"{plan.error.code}: {plan.error.message}")
    if check and check.error:
        failed = check.error.code == "preflight_failed"
        found.append(check.error.message if failed else f"{check.error.code}: {check.error.message}")
        if failed:
            return found  # room is among its checks
    free, required = (plan.data.get(key) if plan else None for key in ("free_bytes", "required_bytes"))
    if isinstance(free, int) and isinstance(required, int) and free < required:
        found.append(f"too little room: {required} bytes needed, {free} free")
    return found


def rates(db: sqlite3.Connection, devices: Sequence[Device]) -> dict[str, Rates]:
    """What was last measured on each device."""
    found = {}
    for device in devices:
        last = rollouts.measured(db, device.name)
        found[device.name] = Rates(last.bytes_per_second, last.switch_seconds, last.smoke_seconds)
    return found
