"""Compute the downloaded bytes from the progress objects of Docker's pull."""

from __future__ import annotations

from typing import Any

_ARRIVED = ("Verifying Checksum", "Download complete", "Pull complete")


class PullProgress:
    """The sum over layers. ``total_bytes`` is the lock's figure until Docker reports more."""

    def __init__(self, expected_bytes: int) -> None:
        self._expected = expected_bytes
        self._done: dict[str, int] = {}
        self._total: dict[str, int] = {}

    @property
    def done_bytes(self) -> int:
        """The compressed bytes received."""
        return sum(self._done.values())

    @property
    def total_bytes(self) -> int:
        """The compressed bytes in total, as far as known."""
        return max(self._expected, sum(self._total.values()))

    def feed(self, message: dict[str, Any]) -> None:
        """Process one object, such as ``{"id": …, "status": …, "progressDetail": {"current": 1}}``."""
        layer, status = message.get("id"), message.get("status")
        if not isinstance(layer, str):
            return
        detail = message.get("progressDetail") or {}
        if status == "Downloading":
            self._done[layer] = max(self._done.get(layer, 0), int(detail.get("current") or 0))
            self._total[layer] = max(self._total.get(layer, 0), int(detail.get("total") or 0))
        elif status in _ARRIVED and layer in self._total:
            self._done[layer] = self._total[layer]
