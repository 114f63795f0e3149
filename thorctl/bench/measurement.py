"""What a device measured: data of ``thor-agent bench``, checked. Pure; what could not be read is None."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Method(_Part):
    """How much was generated: tokens of each answer, requests one by one, rounds of ``at_once`` requests."""

    tokens: int
    requests: int
    rounds: int
    at_once: int


class Figures(_Part):
    """Of one of the three measurements; thorctl/agent/bench/result.py says how each is got."""

    decode_tokens_per_second: float = Field(gt=0)
    ttft_median_ms: float = Field(gt=0)
    input_tokens: int
    requests: int = Field(gt=0)
    at_once: int


class Measured(_Part):
    """One stream; several with the same prompt; several with different ones."""

    single: Figures
    identical: Figures
    different: Figures


class Condition(_Part):
    """The device before or after."""

    at: str | None = None
    power_mode: str | None = None
    clocks_locked: bool | None = None
    gpu_max_hertz: int | None = None
    memory_hertz: int | None = None
    temperature_celsius: dict[str, float] | None = None
    gpu_processes: list[str] | None = None
    l4t: str | None = None

    @property
    def hottest(self) -> float | None:
        """°C of the hottest sensor."""
        return max(self.temperature_celsius.values()) if self.temperature_celsius else None


class EngineUsed(_Part):
    """The engine. ``alone``: it made exactly the tokens that were asked for; None if it does not say."""

    vllm_version: str | None = None
    image_digest: str | None = None
    alone: bool | None = None


class Roofline(_Part):
    """What the memory's bandwidth allows, and the share of it that one stream reached."""

    bandwidth_bytes_per_second: float | None = None
    limit_tokens_per_second: float | None = None
    share: float | None = None


class Measurement(_Part):
    """One benchmark of one device.

    ``machine`` tells installations apart that have the same name, ``power_modes`` are those of the device's
    class, ``over_current_delta`` is by how much each counter rose meanwhile, ``unknown`` says why
    ``bytes_per_token`` is None.
    """

    release: str
    machine: str | None = None
    device_class: str | None = None
    power_modes: list[str] | None = None
    method: Method
    measured: Measured
    engine: EngineUsed = EngineUsed()
    before: Condition
    after: Condition
    over_current_delta: dict[str, int] | None = None
    checkpoint_bytes: int | None = None
    bytes_per_token: dict[str, int] | None = None
    roofline: Roofline | None = None
    unknown: str | None = None
    seconds: float | None = None

    @property
    def over_current_events(self) -> int | None:
        """How many there were meanwhile; None if the counters could not be read."""
        return None if self.over_current_delta is None else sum(self.over_current_delta.values())


def read(data: Mapping[str, Any], device: str) -> Measurement:
    """Check what a device sent, or what the store kept of it.

    Raises:
        ThorError: ``measurement_unreadable``, with the first thing that is wrong.
    """
    try:
        return Measurement.model_validate(data)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "all of it"
        raise ThorError(
            "measurement_unreadable",
            f"The measurement is not in the form of this thorctl: {where}: {first['msg']}.",
            f"Install this thorctl's agent: `cd playbooks && ansible-playbook site.yml --limit {device}`.",
            device=device,
        ) from fault
