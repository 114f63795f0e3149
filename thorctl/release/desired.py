"""The desired release of a device: one function of project and device, for every verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.release.convergence import Desired

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thorctl.inventory.devices import Device
    from thorctl.release.document import Release


def desired_releases(
    deploy: Path, devices: Sequence[Device], profile: str | None = None
) -> dict[str, Release | ThorError | None]:
    """Render the release that each device should serve; devices of one profile and class share it.

    Args:
        deploy: the project's folder with device_classes, profiles, locks and templates.
        devices: of its inventory.
        profile: the profile of a rollout or check, instead of each device's ``thor_profile``.

    Returns:
        Device name -> release. None: the inventory has no profile or no class for it. An error: of its
        variables, ``deploy_differs``, or of the profile, the lock, the class or their combination.
    """
    rendered: dict[tuple[str, str], Release | ThorError] = {}
    found: dict[str, Release | ThorError | None] = {}
    for device in devices:
        name, kind = profile or device.profile, device.device_class
        if problem := device.unread or deploy_problem(deploy, device):
            found[device.name] = problem
        elif name is None or kind is None:
            found[device.name] = None
        else:
            if (name, kind) not in rendered:
                rendered[name, kind] = _built(deploy, name, kind)
            found[device.name] = rendered[name, kind]
    return found


def identified(releases: Mapping[str, Release | ThorError | None]) -> dict[str, Desired]:
    """Return device name -> identity of its release, for the devices that have one."""
    return {
        name: Desired.of(one)
        for name, one in releases.items()
        if one is not None and not isinstance(one, ThorError)
    }


def _built(deploy: Path, name: str, kind: str) -> Release | ThorError:
    from thorctl.release import find  # noqa: PLC0415 - renders: jinja2 and all models, 0.15 s

    try:
        return find.build(deploy, name, kind)
    except ThorError as error:
        return error


def deploy_problem(deploy: Path, device: Device) -> ThorError | None:
    """Return ``deploy_differs`` if site.yml renders the device's release from another folder."""
    if device.deploy is None:
        return None
    other = Path(device.deploy)
    if other.is_absolute() and other.resolve() == deploy.resolve():
        return None
    project = other.is_absolute() and other.name == "deploy" and (other / "profiles").is_dir()
    here = f"set thor_deploy to {deploy.resolve()} or remove it."
    return ThorError(
        "deploy_differs",
        f"site.yml renders the release of {device.name} from thor_deploy, {device.deploy}, and not from this "
        f"project's {deploy}.",
        f"Use that project: `thorctl --project {other.parent} …`. Or in the inventory {here}"
        if project
        else f"Correct the inventory: {here}",
    )
