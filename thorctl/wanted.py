"""Which release each device should serve: what its profile, lock and class render to, here and now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from thorctl import releases
from thorctl.errors import ThorError
from thorctl.release import content_sha256
from thorctl.result import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thorctl.fleet import Device


class Wanted(NamedTuple):
    """A release by its id and the full hash of its document."""

    id: str
    sha256: str


def wanted_releases(
    deploy: Path, devices: Sequence[Device]
) -> tuple[dict[str, Wanted | None], tuple[Problem, ...]]:
    """Device name -> release, None where it cannot be told; and why not, each reason once."""
    made: dict[tuple[str, str], Wanted | None] = {}
    problems: list[Problem] = []
    for name, kind in {(d.profile, d.device_class): None for d in devices}:
        if name is None or kind is None:
            continue
        try:
            made[name, kind] = _release(deploy, name, kind)
        except ThorError as error:
            made[name, kind] = None
            problems.append(Problem.of(error))
    wanted = {d.name: made.get((d.profile or "", d.device_class or "")) for d in devices}
    return wanted, tuple(dict.fromkeys(problems))


def _release(deploy: Path, profile: str, device_class: str) -> Wanted:
    release = releases.desired(deploy, profile, device_class)
    return Wanted(release.id, content_sha256(release.document()))
