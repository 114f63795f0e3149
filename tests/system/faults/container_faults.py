"""All faults that can befall a container device, by the name that the rows call them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.faults import device_faults, disk_faults, docker_faults, engine_faults, network_faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.faults.container_world import ContainerWorld

FAULTS: dict[str, Callable[[ContainerWorld], None]] = {
    **device_faults.FAULTS,
    **disk_faults.FAULTS,
    **docker_faults.FAULTS,
    **engine_faults.FAULTS,
    **network_faults.FAULTS,
}
