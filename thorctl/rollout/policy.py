"""Policies: how a rollout proceeds through a fleet, as written in ``deploy/policies/<name>.yml``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from thorctl.errors import ThorError
from thorctl.files import schema
from thorctl.inventory import maintenance
from thorctl.protocol.plural import counted
from thorctl.rollout.calendar import Calendar, zone

if TYPE_CHECKING:
    from typing import Self

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=128)]
Percent = Annotated[float, Field(gt=0, le=100)]
LONGEST_SOAK_SECONDS = 7 * 24 * 3600
SELECTORS = ("count", "percent", "site", "label", "devices", "each", "rest")


class Wave(schema.Model):
    """A set of devices that change together, selected from those that no earlier wave has."""

    count: int | None = Field(default=None, ge=1, description="Number of devices.")
    percent: Percent | None = Field(
        default=None, description="Share of all devices that change, in percent, rounded down."
    )
    site: Word | None = Field(default=None, description="The devices of one site.")
    label: Word | None = Field(default=None, description="The devices of one inventory group.")
    devices: tuple[Word, ...] | None = Field(default=None, min_length=1, description="These devices.")
    each: Literal["site"] | None = Field(default=None, description="One wave per remaining site.")
    rest: Literal[True] | None = Field(default=None, description="All remaining devices.")
    soak_seconds: int | None = Field(
        default=None, ge=0, le=LONGEST_SOAK_SECONDS, description="Overrides the policy's."
    )
    success_percent: Percent | None = Field(default=None, description="Overrides the policy's.")

    @model_validator(mode="after")
    def _one_selector(self) -> Self:
        given = [name for name in SELECTORS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(
                f"select its devices with exactly one of {', '.join(SELECTORS)}, not with {found}"
            )
        return self

    @property
    def words(self) -> str:
        """The selection as text: ``2 devices``, ``25 %``, ``site lab``, ``the rest``."""
        if self.count is not None:
            return counted(self.count, "device")
        if self.percent is not None:
            return f"{self.percent:g} %"
        if self.devices is not None:
            return ", ".join(self.devices)
        named = {"site": self.site, "label": self.label, "each": self.each}
        return next((f"{name} {value}" for name, value in named.items() if value is not None), "the rest")


class Errors(schema.Model):
    """The numbers of failed devices that stop the whole rollout at once; either limit suffices."""

    stop_at_percent: float | None = Field(
        default=None, gt=0, lt=100, description="Share of all devices that change, in percent."
    )
    stop_at_devices: int | None = Field(default=None, ge=1, description="Number of devices.")

    @model_validator(mode="after")
    def _can_stop(self) -> Self:
        if self.stop_at_percent is None and self.stop_at_devices is None:
            raise ValueError(
                "without stop_at_percent and stop_at_devices no number of failures stops the rollout"
            )
        return self


class Offline(schema.Model):
    """Devices that do not answer are absent, not failed; a later wave catches them up.

    If more are absent than the budget, no further wave opens.
    """

    budget_percent: float | None = Field(default=None, ge=0, le=100, description="Share of all devices.")
    budget_devices: int | None = Field(default=None, ge=0)


class Speed(schema.Model):
    """The required speed of the new release, relative to the previous one on the same device."""

    tolerance_percent: float = Field(
        default=10, ge=0, lt=100, description="Accepted slowdown against the previous release, in percent."
    )
    without_baseline: Literal["fail", "accept"] = Field(
        default="fail", description="A device whose previous release has an unknown speed."
    )


class Figures(schema.Model):
    """The load of a device in its soak."""

    steps: int = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        description="Decode steps: tokens of each stream. Known GPU faults show once in 10,000 to 70,000.",
    )
    concurrency: int = Field(default=4, ge=1, le=64, description="Number of concurrent streams.")
    minimum_steps_per_second: float = Field(
        default=8.0, gt=0, description="Lowest accepted steps per second under load."
    )


# A few million parameters on a shared processor.
SIMULATED = Figures(steps=40, concurrency=2, minimum_steps_per_second=0.05)


class Work(Figures):
    """Load on the engine during the soak; other requests take precedence, and a hold pauses it."""

    waves: Literal["canary", "all"] = Field(default="canary", description="Waves that soak under load.")
    pause_seconds: int = Field(
        default=1800,
        ge=0,
        description="Longest total pause for holds and other requests, in seconds; then the soak fails.",
    )
    classes: dict[Word, Figures] = Field(
        default={"simulated-container": SIMULATED, "simulated-vm": SIMULATED},
        description="Other figures for devices of these classes.",
    )

    def of_class(self, name: str | None) -> Figures:
        """Return the figures for a device of that class."""
        return self.classes.get(name or "", self)


class Site(schema.Model):
    """The maintenance windows of one site, in its local time."""

    zone: str = Field(description="IANA name, such as Europe/Berlin.")
    open: tuple[str, ...] = Field(min_length=1, description="Such as `Mon-Fri 22:00-05:00`.")

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        zone(value)
        return value

    @field_validator("open")
    @classmethod
    def _open(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            maintenance.parse(text)
        return value

    @property
    def windows(self) -> tuple[maintenance.Window, ...]:
        """All of ``open``."""
        return tuple(window for text in self.open for window in maintenance.parse(text))


class Windows(schema.Model):
    """Maintenance windows: activations begin inside only. Staging and rollbacks ignore them."""

    sites: dict[Word, Site] = Field(default_factory=dict)
    default: Site | None = Field(default=None, description="For all other sites.")
    closing_margin_minutes: int = Field(
        default=15, ge=0, description="Minutes before a window's end in which no activation begins."
    )

    @model_validator(mode="after")
    def _ever_open(self) -> Self:
        for name, site in [*self.sites.items(), *([("default", self.default)] if self.default else [])]:
            length = maintenance.longest(site.windows)
            if self.closing_margin_minutes >= length:
                raise ValueError(
                    f"{name}: its longest window has {length} minutes, closing_margin_minutes takes all"
                )
        if not self.sites and self.default is None:
            raise ValueError("neither sites nor default: remove `windows` to allow any time")
        return self


class Wait(schema.Model):
    """Time limits of waits, in seconds."""

    lease_seconds: int = Field(
        default=600,
        ge=0,
        description="For a device leased by another rollout. A manual lease is not waited for.",
    )
    hold_seconds: int = Field(
        default=0, ge=0, description="For a device on hold, in its wave; then it is absent."
    )
    silence_seconds: int = Field(
        default=300, ge=1, description="For a device that stops answering during its change."
    )
    evidence_seconds: int = Field(
        default=900, ge=0, description="For absent canaries, and for a fleet above its offline budget."
    )


class Policy(schema.NamedModel):
    """How a rollout proceeds through a fleet."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this file's format.")
    description: str = Field(min_length=1, description="One sentence.")
    canary: Wave = Field(
        description="The first wave. All its devices must be healthy before the next begins."
    )
    waves: tuple[Wave, ...] = Field(min_length=1, description="After the canary, in this order.")
    order: Literal["inventory", "name", "site"] = Field(
        default="inventory", description="Order of the devices within a wave."
    )
    parallel: int = Field(default=10, ge=1, le=500, description="Devices out of service at the same time.")
    stage_parallel: int = Field(default=20, ge=1, le=500, description="Devices that download concurrently.")
    soak_seconds: int = Field(
        default=600,
        ge=0,
        le=LONGEST_SOAK_SECONDS,
        description="How long a device must stay healthy, in seconds.",
    )
    work: Work | None = Field(default_factory=Work, description="Load of the soak; null: no load.")
    success_percent: Percent = Field(
        default=100, description="Share of a wave's updated devices that must be healthy, in percent."
    )
    errors: Errors
    offline: Offline = Field(default_factory=Offline)
    speed: Speed | None = Field(default_factory=Speed, description="null: the speed is not checked.")
    windows: Windows | None = Field(default=None, description="null: any time.")
    approve: Literal["never", "after_canary", "each_wave"] = Field(
        default="never", description="Waves that need `thorctl rollout approve`."
    )
    on_stop: Literal["keep", "return"] = Field(
        default="keep", description="Whether a stop also rolls committed devices back."
    )
    wait: Wait = Field(default_factory=Wait)

    @field_validator("canary")
    @classmethod
    def _canary_is_few(cls, value: Wave) -> Wave:
        if value.rest or value.each or value.percent == 100:
            raise ValueError("a canary of all devices is not a canary")
        if value.success_percent not in (None, 100):
            raise ValueError("success_percent: all devices of a canary must be healthy")
        return value

    @field_validator("waves")
    @classmethod
    def _rest_is_last(cls, value: tuple[Wave, ...]) -> tuple[Wave, ...]:
        for number, wave in enumerate(value[:-1], start=1):
            if wave.rest or wave.each:
                raise ValueError(f"wave {number} selects all remaining devices, so no wave can follow it")
        return value

    def calendar(self, site: str | None) -> Calendar | None:
        """Return a site's maintenance windows; None = any time.

        Raises:
            ThorError: ``policy_windows``: the policy has windows, but none for this site.
        """
        if self.windows is None:
            return None
        entry = self.windows.sites.get(site or "") or self.windows.default
        if entry is None:
            raise ThorError(
                "policy_windows",
                f"Policy {self.name} has no maintenance window for site {site or '(none)'}.",
                f"Add windows.sites.{site or 'NAME'} or windows.default to it.",
            )
        return Calendar(
            zone(entry.zone),
            entry.windows,
            self.windows.closing_margin_minutes,
        )


def from_document(document: dict[str, Any], where: str) -> Policy:
    """Read a policy from plain data, such as the store's.

    Raises:
        ThorError: ``policy_invalid``.
    """
    try:
        return Policy.model_validate(document)
    except ValidationError as error:
        found = [
            schema.explain_one(one["type"], one["loc"], one["msg"], Policy)
            for one in error.errors(include_url=False)
        ]
        raise ThorError(
            "policy_invalid",
            "\n".join(f"{where}: {sentence}" for sentence, _ in found),
            " ".join(dict.fromkeys(remedy for _, remedy in found)),
        ) from error
