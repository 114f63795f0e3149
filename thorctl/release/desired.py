"""The desired release of each device: what its profile, lock and class render to, here and now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thorctl.errors import ThorError
from thorctl.protocol import canonical_json
from thorctl.release import find as releases
from thorctl.result import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.inventory.devices import Device


class Desired(NamedTuple):
    """A release by its id and the full hash of its document."""

    id: str
    sha256: str


def desired_releases(
    deploy: Path, devices: Sequence[Device]
) -> tuple[dict[str, Desired | None], tuple[Problem, ...]]:
    """Device name -> release, None where it cannot be told; and why not, each reason once."""
    made: dict[tuple[str, str], Desired | None] = {}
    problems: list[Problem] = []
    followed = []
    for device in devices:
        try:
            check_deploy(deploy, device)
            followed.append(device)
        except ThorError as error:
            problems.append(Problem.of(error))
    for name, kind in {(d.profile, d.device_class): None for d in followed}:
        if name is None or kind is None:
            continue
        try:
            made[name, kind] = _release(deploy, name, kind)
        except ThorError as error:
            made[name, kind] = None
            problems.append(Problem.of(error))
    wanted: dict[str, Desired | None] = dict.fromkeys(d.name for d in devices)
    wanted |= {d.name: made.get((d.profile or "", d.device_class or "")) for d in followed}
    return wanted, tuple(dict.fromkeys(problems))


def check_deploy(deploy: Path, device: Device) -> None:
    """Refuse a device whose release site.yml renders from another folder than the project's ``deploy``.

    Raises:
        ThorError: ``deploy_differs``.
    """
    if device.deploy is None:
        return
    other = Path(device.deploy)
    if other.is_absolute() and other.resolve() == deploy.resolve():
        return
    project = other.is_absolute() and other.name == "deploy" and (other / "profiles").is_dir()
    first = f"Take that project: `thorctl --project {other.parent} …`; or" if project else "In the inventory,"
    raise ThorError(
        "deploy_differs",
        f"site.yml renders the release of {device.name} from thor_deploy, {device.deploy}, and not from this "
        f"project's {deploy}.",
        f"{first} set thor_deploy to {deploy.resolve()} or remove it.",
    )


def _release(deploy: Path, profile: str, device_class: str) -> Desired:
    release = releases.desired(deploy, profile, device_class)
    return Desired(release.id, canonical_json.release_sha256(release.document()))
