"""What the preflight checks look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.agent.facts.ports import Listener

NVIDIA = "nvidia"


@dataclass(frozen=True)
class Situation:
    """All that the checks look at.

    Attributes:
        facts: what the verb facts gives.
        release: the release document.
        listener: who listens on the release's port.
        image_present, checkpoint_present_bytes: what of the release is on the device already.
        engine_running: an engine runs; what it holds is given back before another starts.
        engine_pids: its processes among those on the GPU.
        now: the device's clock, seconds since 1970.
        python: version of the Python that runs the agent, such as (3, 12).
    """

    facts: Mapping[str, Any]
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
        """The release's device class."""
        found: Mapping[str, Any] = self.release["device_class"]
        return found

    @property
    def on_gpu(self) -> bool:
        """Whether the class's engines compute on a GPU; a simulated device's do not."""
        return bool(self.wanted["container"].get("runtime") == NVIDIA)

    def part(self, fact: str) -> Mapping[str, Any]:
        """A fact that has parts; no part where it could not be read."""
        found: Mapping[str, Any] = self.facts.get(fact) or {}
        return found
