"""Check that profiles, device classes and locks are valid and match each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl import shipped
from thorctl.doctor.check import Check
from thorctl.errors import ThorError
from thorctl.release import device_class, lock, profile
from thorctl.release import find as releases

if TYPE_CHECKING:
    from pathlib import Path

AREA = "project"


def checks(deploy: Path) -> list[Check]:
    """Return one check per device class and per profile."""
    classes, profiles = (shipped.own_names(deploy, part) for part in ("device_classes", "profiles"))
    found = [_device_class(deploy, name) for name in classes] + [_profile(deploy, name) for name in profiles]
    if not profiles:
        remedy = f"Write one: {deploy}/profiles/NAME.yml, or name the project with --project."
        found.append(Check(AREA, "profiles", "fail", f"{deploy} has none", remedy))
    return found


def _device_class(deploy: Path, name: str) -> Check:
    try:
        device_class.load(deploy, name)
    except ThorError as error:
        return Check(AREA, f"device class {name}", "fail", error.message, error.remedy)
    return Check(AREA, f"device class {name}", "pass", "valid")


def _profile(deploy: Path, name: str) -> Check:
    title = f"profile {name}"
    try:
        loaded = profile.load(deploy, name)
    except ThorError as error:
        return Check(AREA, title, "fail", error.message, error.remedy)
    if not lock.path_of(deploy, name).exists():
        return Check(AREA, title, "warn", "valid, not locked", f"Lock it: `thorctl lock {name}`.")
    try:
        lock.require_match(loaded, lock.load(deploy, name))
    except ThorError as error:
        return Check(AREA, title, "fail", error.message, error.remedy)
    return _renders(deploy, title, loaded)


def _renders(deploy: Path, title: str, loaded: profile.Profile) -> Check:
    ids, refusals = [], []
    for kind in loaded.device_classes:
        try:
            ids.append(releases.build(deploy, loaded.name, kind).id)
        except ThorError as error:
            refusals.append(error)
    if not ids and refusals:
        return Check(AREA, title, "fail", refusals[0].message, refusals[0].remedy)
    # A lock is for one platform: a class of another platform is no fault.
    return Check(AREA, title, "pass", f"valid, locked; makes {', '.join(dict.fromkeys(ids))}")
