"""The input of the preflight checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.agent.facts.ports import Listener
    from thorctl.protocol.facts import Facts

NVIDIA = "nvidia"


@dataclass(frozen=True)
class Situation:
    """The facts of a device and the release to check.

    Attributes:
        facts: the data of the verb facts.
        release: the release document.
        listener: the program that listens on the release's port.
        image_present, checkpoint_present_bytes: the parts of the release on the device.
        engine_running: an engine runs; its memory is freed before another starts.
        engine_pids: its processes among those on the GPU.
        now: the device's clock, seconds since 1970.
        python: version of the Python that runs the agent, such as (3, 12).
    """

    facts: Facts
    release: Mapping[str, Any]
    listener: Listener | None
    image_present: bool
    checkpoint_present_bytes: int
    engine_running: bool
    engine_pids: frozenset[int]
    now: float
    python: tuple[int, ...]

    @property
    def wanted(self) -> Mapping[str, Any]:
        """The device class of the release."""
        found: Mapping[str, Any] = self.release["device_class"]
        return found

    @property
    def on_gpu(self) -> bool:
        """Whether the class's engines compute on a GPU; a simulated device's do not."""
        return bool(self.wanted["container"].get("runtime") == NVIDIA)
