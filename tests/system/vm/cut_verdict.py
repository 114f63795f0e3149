"""What is wrong with a device after a power cut: what the probe saw against what the releases are. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tests.system.vm.power_cuts import Cut
    from thorctl.release.document import Release

OLD, NEW, NEXT = "old", "new", "next"  # the releases' profiles, and what their engines call themselves
UNIT = "thor-engine.service"
_PLACEHOLDER = "@RELEASE_ID@"


@dataclass(frozen=True)
class Shipped:
    """A release as it was sent out, by its document: the hashes are SHA-256."""

    id: str
    image: str
    model: str
    checkpoint: str
    weights: dict[str, str]
    files: dict[str, str]

    @classmethod
    def of(cls, release: Release) -> Shipped:
        """By the controller's document: nothing of it comes from a device."""
        image, checkpoint = release.lock.image, release.document()["lock"]["checkpoint"]
        texts = {name: file.content.replace(_PLACEHOLDER, release.id) for name, file in release.files.items()}
        texts["release.json"] = release.text()
        (model, *_) = release.document()["profile"]["serve"]["served-model-name"]
        return cls(
            release.id,
            f"{image.repository}@{image.digest}",
            model,
            f"{checkpoint['repository'].replace('/', '--')}@{checkpoint['commit']}",
            {one["path"]: one["sha256"] for one in checkpoint["files"]},
            {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()},
        )


def may_serve(cut: Cut, *, answered: bool) -> tuple[str, ...]:
    """The releases that a device may serve after ``cut``: one, but where the verb itself had not answered."""
    if cut.phase == "commit":
        return (NEW,) if answered else (OLD, NEW)
    if cut.phase == "rollback" and cut.start == "committed":
        return (OLD,) if answered else (OLD, NEW)
    return (OLD,)


def serves(seen: Mapping[str, Any], releases: Mapping[str, Shipped]) -> str | None:
    """The release that the journal calls committed."""
    return next((name for name, one in releases.items() if one.id == seen["journal"]["current"]), None)


def faults(seen: Mapping[str, Any], releases: Mapping[str, Shipped], allowed: Collection[str]) -> list[str]:
    """Everything that is not as it must be; nothing: one whole release serves, and the status says so."""
    name = serves(seen, releases)
    if name not in allowed:
        return [f"it stands on {name}, not on {' or '.join(allowed)}: {seen['journal']}"]
    assert name is not None
    wanted = {**_machine(), **_serving(name, releases[name]), **_status(seen, releases[name])}
    found = {**_found(seen), **_told(seen["status"])}
    wrong = [
        f"{what}: {found[what]!r} instead of {value!r}"
        for what, value in wanted.items()
        if found[what] != value
    ]
    return [*wrong, *_not_whole(seen, releases)]


def _machine() -> dict[str, Any]:
    up = {f"unit {unit}": "active" for unit in ("thor-recover", "thor-engine", "docker", "ssh")}
    return {"system": "running", "failed units": "", "rubbish": [], **up}


def _serving(name: str, release: Shipped) -> dict[str, Any]:
    return {
        "journal's state": "committed",
        "journal's target": None,
        "healthy": True,
        "models": [release.model],
        "engine's own name": name,
        "containers": [("thor-engine", True, release.image)],
        "installed unit": release.files[UNIT],
    }


def _found(seen: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "system": seen["system"],
        "failed units": seen["failed"],
        "rubbish": seen["rubbish"],
        **{f"unit {unit}": state for unit, state in seen["units"].items()},
        "journal's state": seen["journal"]["state"],
        "journal's target": seen["journal"]["target"],
        "healthy": seen["healthy"],
        "models": seen["models"],
        "engine's own name": seen["label"],
        "containers": [
            (one["name"], one["running"], *(image for image in one["digests"] if _named(image, one["asked"])))
            for one in seen["containers"]
        ],
        "installed unit": seen["unit_file"],
    }


def _named(image: str, asked: str) -> bool:
    """Whether the device's tag, ``repository:thor-<12 hex>``, is of this ``repository@sha256:<hex>``."""
    repository, _, digest = image.partition("@sha256:")
    return asked == f"{repository}:thor-{digest[:12]}"


def _status(seen: Mapping[str, Any], release: Shipped) -> dict[str, Any]:
    """What ``thor-agent status`` has to say, by what was found without it."""
    return {
        "status ok": True,
        "status state": seen["journal"]["state"],
        "status release": release.id,
        "status previous": seen["journal"]["previous"],
        "status target": None,
        "status deadline": None,
        "status engine unit": seen["units"]["thor-engine"],
        "status engine ready": seen["healthy"],
        "status engine model": release.model,
        "status engine image": release.image.partition("@")[2],
        "status progress": None,
        "status drift": [],
    }


def _told(status: Mapping[str, Any]) -> dict[str, Any]:
    data = status["data"]
    engine = data["engine"]
    return {
        "status ok": status["ok"],
        **{f"status {key}": data[key] for key in ("state", "release", "previous", "target", "deadline")},
        "status engine unit": engine["unit"],
        "status engine ready": engine["ready"],
        "status engine model": engine["model"],
        "status engine image": (engine["container"] or {}).get("image_digest"),
        "status progress": data["progress"],
        "status drift": data["drift"],
    }


def _not_whole(seen: Mapping[str, Any], releases: Mapping[str, Shipped]) -> Iterator[str]:
    """What releases on the device lack: where a release's folder stands, all of it must be there."""
    known = {one.id: one for one in releases.values()}
    for release_id, files in seen["releases"].items():
        release = known.get(release_id)
        if release is None:
            yield f"an unknown release {release_id}"
            continue
        yield from _differences(release_id, files, release.files)
        there = seen["checkpoints"].get(release.checkpoint, {})
        yield from _differences(f"{release_id}'s checkpoint", there, release.weights)
    for needed in (seen["journal"]["current"], seen["journal"]["previous"]):
        if needed is not None and needed not in seen["releases"]:
            yield f"{needed}, which the journal names, is gone"


def _differences(what: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*found, *wanted}):
        if found.get(name) != wanted.get(name):
            yield f"{what}: {name} is {found.get(name)} instead of {wanted.get(name)}"
