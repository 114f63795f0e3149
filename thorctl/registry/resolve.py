"""Create a lock: choose the platform, resolve image and checkpoint, write the file atomically."""

from __future__ import annotations

import platform as machine
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.files import atomic
from thorctl.registry import hub, oci
from thorctl.registry.client import Registry
from thorctl.release import device_class, licenses
from thorctl.release.device_class import PLATFORMS
from thorctl.release.image_reference import ImageReference
from thorctl.release.lock import LicenseLock, Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from thorctl.release.profile import Profile


def platform_of(profile: Profile, deploy: Path, chosen: str | None, here: str | None = None) -> str:
    """Return the image platform to lock.

    The profile's device classes decide; if they run several, it is that of this machine, on which a
    simulation would run.

    Args:
        profile: whose classes count.
        deploy: the folder with the classes.
        chosen: ``--platform``, which takes precedence but must be one of the classes'.
        here: as ``uname -m``; default this machine's.

    Raises:
        ThorError: ``platform_mismatch``, or the errors of a device class.
    """
    classes = [device_class.load(deploy, name) for name in profile.device_classes]
    possible = sorted({platform for one in classes for platform in one.platforms})
    wanted = chosen or (possible[0] if len(possible) == 1 else PLATFORMS.get(here or machine.machine()))
    if wanted in possible:
        return wanted
    raise ThorError(
        "platform_mismatch",
        f"Device classes {', '.join(profile.device_classes)} run {' or '.join(possible)}, "
        f"not {wanted or machine.machine()}.",
        f"Choose with --platform {possible[0]}.",
    )


def resolve(
    profile: Profile,
    platform: str,
    via: Mapping[str, str],
    progress: Callable[[str], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Lock:
    """Resolve the profile's tag and revision at registry and hub; no licence is accepted in the result.

    ``warn`` is called with a warning about an unreadable login or token, which is an error only if needed.

    Raises:
        ThorError: as ``sources.oci.resolve`` and ``sources.hub.resolve``.
    """
    reference = ImageReference.parse(profile.image.reference)
    progress(f"image {profile.image.reference}")
    with Registry(reference.host, via.get(reference.host), warn) as registry:
        image = oci.resolve(reference, platform, registry)
    found = hub.resolve(
        profile.checkpoint,
        hub.address_of(profile.checkpoint, via),
        lambda path: progress(f"{profile.checkpoint.repository}: {path}"),
        warn,
    )
    license_ = LicenseLock(hub=found.license)
    return Lock(schema_=1, profile=profile.name, image=image, checkpoint=found.checkpoint, license=license_)


def accepted(lock: Lock, profile: Profile, before: Lock | None, words: Iterable[str]) -> Lock:
    """Return ``lock`` with its licence's acceptance: the operator's ``words``, else that of ``before``.

    Raises:
        ThorError: ``usage`` if ``words`` name another licence.
    """
    earlier = before.license.accepted if before else None
    found = licenses.acceptance(profile.license, earlier, words)
    return lock.model_copy(update={"license": LicenseLock(hub=lock.license.hub, accepted=found)})


def write(path: Path, lock: Lock) -> None:
    """Write the lock to ``path`` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, lock.text())
