"""Find or build releases on the controller, from a profile's name, a file or a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.release import device_class as device_classes
from thorctl.release import document as documents
from thorctl.release import lock as locks
from thorctl.release import profile as profiles
from thorctl.release.render import render_release

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.release.document import Release
    from thorctl.release.lock import Lock
    from thorctl.release.profile import Profile


def build(deploy: Path, name: str, device_class: str | None = None) -> Release:
    """Render the release of a profile on a device class: the same for every verb and every playbook.

    Args:
        deploy: folder with device_classes, profiles, locks and templates; nothing else is read.
        name: the profile.
        device_class: None = the first of the profile's classes that can run the locked image.

    Raises:
        ThorError: the errors of the profile, the lock, the class or their combination.
    """
    profile, lock = profiles.load(deploy, name), locks.load(deploy, name)
    if device_class is None:
        locks.require_match(profile, lock)
        device_class = next(iter(_fitting(deploy, profile, lock)), profile.device_classes[0])
    return render_release(profile, lock, device_classes.load(deploy, device_class), deploy / "templates")


def build_all(deploy: Path, name: str) -> list[Release]:
    """Return the releases of profile ``name``, one for each of its classes that can run the locked image."""
    classes = _fitting(deploy, profiles.load(deploy, name), locks.load(deploy, name))
    return [build(deploy, name, one) for one in classes]


def _fitting(deploy: Path, profile: Profile, lock: Lock) -> list[str]:
    return [
        one
        for one in profile.device_classes
        if lock.image.platform in device_classes.load(deploy, one).platforms
    ]


def read(path: Path) -> Release:
    """Read a rendered release: a folder written by ``thorctl render``, or its release.json."""
    return documents.load(path / "release.json" if path.is_dir() else path)


def find(deploy: Path, wanted: str, path: Path) -> Release:
    """Return the release ``wanted``: a file or folder, a profile's name, or a release's id.

    Raises:
        ThorError: ``release_unknown`` for an id that no profile gives any more.
    """
    known = profiles.names(deploy)
    if wanted in known:
        return build(deploy, wanted)
    if path.exists():
        return read(path)
    name, _, digest = wanted.rpartition("-")
    if name in known and len(digest) == 12:
        made = build_all(deploy, name)
        for release in made:
            if release.id == wanted:
                return release
        raise ThorError(
            "release_unknown",
            f"The profile {name!r} now gives {', '.join(one.id for one in made) or 'no release'}, "
            f"not {wanted}.",
            "Check out the commit it was made from, or name the release.json of an earlier `thorctl render`.",
        )
    profiles.load(deploy, wanted)  # its error lists the profiles
    raise AssertionError(wanted)
