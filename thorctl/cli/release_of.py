"""The release that a verb is about for each device, and the devices' plans for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.cli.devices import recognised
from thorctl.errors import ThorError
from thorctl.protocol.plural import counted
from thorctl.release.desired import desired_releases
from thorctl.remote.agent_call import run_verb
from thorctl.rollout.plan import agent_too_old
from thorctl.rollout.run import preparation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thorctl.cli.context import Context
    from thorctl.inventory.devices import Device
    from thorctl.release.document import Release
    from thorctl.remote.answer import Answer


def chosen_releases(context: Context, fleet: Sequence[Device], wanted: str | None) -> dict[str, Release]:
    """Device -> the release ``wanted`` (a profile, an id, a file or folder), else the inventory's.

    Raises:
        ThorError: ``inventory_incomplete``, or as ``preparation.releases`` and ``desired_releases``.
    """
    if wanted is not None:
        return dict(preparation.releases(context.deploy, wanted, Path(wanted), fleet).by_device)
    found: dict[str, Release] = {}
    for name, release in desired_releases(context.deploy, fleet).items():
        if isinstance(release, ThorError):
            raise release
        if release is None:
            raise ThorError(
                "inventory_incomplete",
                "thor_profile or thor_device_class is not set, so there is no desired release.",
                "Set them in the inventory, for the device or its group; or name one: --release RELEASE.",
                device=name,
            )
        found[name] = release
    return found


def _layouts(answer: Answer) -> tuple[int, ...]:
    """Layouts of releases that the device's agent reads."""
    return preparation.status_of(answer).agent_layouts


def planned(context: Context, fleet: Sequence[Device], releases: Mapping[str, Release]) -> list[Answer]:
    """Each device's answer to ``plan``; an error where another device answers or its agent is too old."""
    with context.messages.status(f"Asking {counted(len(fleet), 'device')} …"):
        found = {one.device: one for one in recognised(run_verb(fleet, "status"))}
        for release in {one.id: one for one in releases.values()}.values():
            mine = [one for one in fleet if releases[one.name].id == release.id and found[one.name].ok]
            old = [one for one in mine if release.schema_ not in _layouts(found[one.name])]
            for device in old:
                problem = agent_too_old([device.name])
                found[device.name] = replace(found[device.name], error=problem)
            answers = run_verb(
                [one for one in mine if one not in old],
                *("plan", ("--release", "-")),
                stdin=release.text(),
                timeout=preparation.PLAN_SECONDS,
            )
            found |= {one.device: one for one in answers}
    return [found[device.name] for device in fleet]
