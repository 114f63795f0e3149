"""The agent's status as its JSON says it, typed; a report of another shape is refused."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from thorctl.status.drift import Item


class _Reported(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class EngineReport(_Reported):
    """``engine`` of the agent's status."""

    unit: str | None = None
    ready: bool | None = None
    model: str | None = None
    restarts: int | None = None
    last_end: dict[str, str] | None = None
    cold_start_seconds: float | None = None

    @property
    def word(self) -> str | None:
        """ready, starting, stopped or failed; None if systemd could not be asked."""
        if self.ready and self.unit == "active":
            return "ready"
        words = {"active": "starting", "activating": "starting", "deactivating": "stopping"}
        words |= {"inactive": "stopped", "failed": "failed"}
        return words.get(self.unit or "")


class SmokeReport(_Reported):
    """``last_smoke`` of the agent's status."""

    release: str | None = None
    passed: bool | None = None
    at: str | None = None
    tokens_per_second: float | None = None
    failed_checks: list[str] | None = None
    accepted: dict[str, str] | None = None


class Report(_Reported):
    """Data of the agent's status verb (docs/reference/interfaces.md). Sizes in bytes, temperature in °C."""

    name: str | None = None
    machine: str | None = None
    serial: str | None = None
    state: str | None = None
    release: str | None = None
    release_sha256: str | None = None
    previous: str | None = None
    previous_sha256: str | None = None
    target: str | None = None
    target_sha256: str | None = None
    deadline: str | None = None
    review_seconds_left: int | None = None
    since: str | None = None
    activated_by: str | None = None
    engine: EngineReport = EngineReport()
    l4t: str | None = None
    power_mode: str | None = None
    memory_available_bytes: int | None = None
    memory_total_bytes: int | None = None
    disk_free_bytes: int | None = None
    temperature_celsius: float | None = None
    last_smoke: SmokeReport | None = None
    soak: dict[str, Any] | None = None
    lease: dict[str, Any] | None = None
    hold: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    agent_version: str | None = None
    agent_layouts: list[int] = [1]  # an agent that does not name them reads layout 1
    release_layout: int | None = None
    compared: list[Item] | None = None
    drift: list[Item] | None = None
