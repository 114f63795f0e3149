"""Data of the verb ``bench``: what a device measured of the release that runs. None: it could not be read."""

from __future__ import annotations

from thorctl.protocol.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class Method:
    """How much is generated.

    Attributes:
        tokens: of each answer.
        requests: measured one after another.
        rounds: of ``at_once`` requests, with one prompt and with different ones.
        at_once: requests at the same time.
        at_once_wanted: the same, before the engine's own limit.
        quick: whether the sizes are those of ``--quick``.
        commands: of each measurement.
    """

    tokens: int
    requests: int
    rounds: int
    at_once: int
    at_once_wanted: int | None = None
    quick: bool | None = None
    commands: tuple[tuple[str, ...], ...] = ()

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """What two measurements must have in common to be compared."""
        return self.tokens, self.requests, self.rounds, self.at_once


@dataclass(frozen=True)
class Figures:
    """Figures of one measurement.

    Attributes:
        decode_tokens_per_second: all streams together, while at least one decodes. Of one stream it is
            1000 / mean time per output token.
        output_tokens_per_second: the same with the time to the first token in it.
        tpot_ms: mean time per output token of a stream, without its first.
        ttft_mean_ms, ttft_median_ms, ttft_p99_ms: time to the first token.
        input_tokens, output_tokens: of all requests.
        requests: how many were measured.
        at_once: how many were under way at the same time, at most.
        seconds: how long all of it took.
    """

    decode_tokens_per_second: float
    output_tokens_per_second: float
    tpot_ms: float
    ttft_mean_ms: float
    ttft_median_ms: float
    ttft_p99_ms: float
    input_tokens: int
    output_tokens: int
    requests: int
    at_once: int
    seconds: float


@dataclass(frozen=True)
class Measured:
    """One stream; several with the same prompt; several with different ones."""

    single: Figures
    identical: Figures
    different: Figures


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What changes a release's speed, before or after.

    Attributes:
        at: RFC 3339, UTC.
        power_mode: its name.
        clocks_locked: by jetson_clocks.
        gpu_min_hertz, gpu_max_hertz, memory_hertz: clocks.
        temperature_celsius: by sensor.
        power_milliwatts: by rail.
        over_current_events: by counter, since boot.
        gpu_processes: their names.
        gpu_memory_bytes: of all of them.
        memory_available_bytes: of the memory that CPU and GPU share.
        l4t: version, such as 38.4.0.
    """

    at: str | None = None
    power_mode: str | None = None
    clocks_locked: bool | None = None
    gpu_min_hertz: int | None = None
    gpu_max_hertz: int | None = None
    memory_hertz: int | None = None
    temperature_celsius: dict[str, float] | None = None
    power_milliwatts: dict[str, int] | None = None
    over_current_events: dict[str, int] | None = None
    gpu_processes: tuple[str, ...] | None = None
    gpu_memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    l4t: str | None = None

    @property
    def hottest(self) -> float | None:
        """°C of the hottest sensor."""
        return max(self.temperature_celsius.values()) if self.temperature_celsius else None


@dataclass(frozen=True, kw_only=True)
class EngineUsed:
    """The engine; ``alone``: it made exactly the tokens that were asked for."""

    vllm_version: str | None = None
    image_digest: str | None = None
    model: str | None = None
    alone: bool | None = None


@dataclass(frozen=True)
class Roofline:
    """The rate that the memory's bandwidth allows, and the share of it that one stream reached."""

    bandwidth_bytes_per_second: float | None = None
    limit_tokens_per_second: float | None = None
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """Data with ``--dry-run``, and of a benchmark that failed.

    Attributes:
        release: id of the release that runs.
        machine: tells installations of the same name apart; see the status.
        device_class: of the release.
        power_modes: those of the device class.
        method: what is run.
    """

    release: str
    machine: str | None = None
    device_class: str | None = None
    power_modes: tuple[str, ...] | None = None
    method: Method


@dataclass(frozen=True, kw_only=True)
class Measurement(BenchPlan):
    """One benchmark of one device.

    Attributes:
        release: id of the release that runs.
        machine: tells installations of the same name apart; see the status.
        device_class: of the release.
        power_modes: those of the device class.
        method: what was run.
        measured: the figures.
        engine: the engine.
        before: the device at the begin.
        after: the device at the end.
        over_current_delta: by how much each counter rose meanwhile.
        checkpoint_bytes: size of the checkpoint.
        bytes_per_token: bytes that a token reads, by purpose; ``total`` is their sum.
        roofline: None with ``bytes_per_token``.
        unknown: why ``bytes_per_token`` is None.
        seconds: that all of it took.
    """

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
