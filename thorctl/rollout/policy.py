"""Policies: how a release goes through a fleet, as people write it in ``deploy/policies/<name>.yml``."""

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
    """A set of devices that are changed together, out of those that no earlier wave took."""

    count: int | None = Field(default=None, ge=1, description="So many devices.")
    percent: Percent | None = Field(
        default=None, description="Of all devices that change, rounded down: never more than this."
    )
    site: Word | None = Field(default=None, description="The devices of one site.")
    label: Word | None = Field(default=None, description="The devices of one group of the inventory.")
    devices: tuple[Word, ...] | None = Field(default=None, min_length=1, description="These devices.")
    each: Literal["site"] | None = Field(default=None, description="One wave for each site that is left.")
    rest: Literal[True] | None = Field(default=None, description="Whoever is left.")
    soak_seconds: int | None = Field(
        default=None, ge=0, le=LONGEST_SOAK_SECONDS, description="Instead of the policy's."
    )
    success_percent: Percent | None = Field(default=None, description="Instead of the policy's.")

    @model_validator(mode="after")
    def _one_selector(self) -> Self:
        given = [name for name in SELECTORS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"say with exactly one of {', '.join(SELECTORS)} who is in it, not with {found}")
        return self

    @property
    def words(self) -> str:
        """How people call it: ``2 devices``, ``25 %``, ``site lab``, ``the rest``."""
        if self.count is not None:
            return counted(self.count, "device")
        if self.percent is not None:
            return f"{self.percent:g} %"
        if self.devices is not None:
            return ", ".join(self.devices)
        named = {"site": self.site, "label": self.label, "each": self.each}
        return next((f"{name} {value}" for name, value in named.items() if value is not None), "the rest")


class Errors(schema.Model):
    """When failed devices stop the whole rollout, at once; reaching a limit is enough."""

    stop_at_percent: float | None = Field(
        default=None, gt=0, lt=100, description="Of all devices that change."
    )
    stop_at_devices: int | None = Field(default=None, ge=1, description="Whatever the size of the fleet.")

    @model_validator(mode="after")
    def _can_stop(self) -> Self:
        if self.stop_at_percent is None and self.stop_at_devices is None:
            raise ValueError(
                "with neither stop_at_percent nor stop_at_devices no number of failures stops it"
            )
        return self


class Offline(schema.Model):
    """Devices that do not answer are queued and caught up later; they are no failures.

    More of them than the budget, and no further wave opens until some are back.
    """

    budget_percent: float | None = Field(default=None, ge=0, le=100, description="Of all devices.")
    budget_devices: int | None = Field(default=None, ge=0)


class Speed(schema.Model):
    """How fast the new release must be, against what the same device did before it."""

    tolerance_percent: float = Field(default=10, ge=0, lt=100, description="So much slower is still well.")
    without_baseline: Literal["fail", "accept"] = Field(
        default="fail", description="A device that served a release whose speed is not known."
    )


class Figures(schema.Model):
    """The load of a device in its soak."""

    steps: int = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        description="Decode steps: tokens of each stream. Known GPU faults show once in 10,000 to 70,000.",
    )
    concurrency: int = Field(default=4, ge=1, le=64, description="Streams at once.")
    minimum_steps_per_second: float = Field(
        default=8.0, gt=0, description="A device that makes fewer under load fails."
    )


# A few million parameters on a processor that others use, too.
SIMULATED = Figures(steps=40, concurrency=2, minimum_steps_per_second=0.05)


class Work(Figures):
    """The engine generates while its device soaks, behind everybody else's requests and never on hold."""

    waves: Literal["canary", "all"] = Field(default="canary", description="Whose devices soak under load.")
    pause_seconds: int = Field(
        default=1800,
        ge=0,
        description="Longest time in all that holds and others' requests put the work off; then it fails.",
    )
    classes: dict[Word, Figures] = Field(
        default={"simulated-container": SIMULATED, "simulated-vm": SIMULATED},
        description="Other figures for devices of these classes.",
    )

    def of_class(self, name: str | None) -> Figures:
        """The figures for a device of that class."""
        return self.classes.get(name or "", self)


class Site(schema.Model):
    """When one site may be changed, in its own time."""

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
    """Maintenance windows: no activation begins outside. Staging and returns are not bound to them."""

    sites: dict[Word, Site] = Field(default_factory=dict)
    default: Site | None = Field(default=None, description="For sites that are not named.")
    closing_margin_minutes: int = Field(
        default=15, ge=0, description="No activation begins in the last minutes before a window closes."
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
            raise ValueError("neither sites nor default: leave `windows` out if any time will do")
        return self


class Wait(schema.Model):
    """How long to wait for others, in seconds."""

    lease_seconds: int = Field(
        default=600,
        ge=0,
        description="For a device that another rollout holds. A lease taken by hand is never waited for.",
    )
    hold_seconds: int = Field(
        default=0, ge=0, description="For a device that is on hold, in its wave; then it is absent."
    )
    silence_seconds: int = Field(
        default=300, ge=1, description="For a device that falls silent while it is being changed."
    )
    evidence_seconds: int = Field(
        default=900, ge=0, description="For absent canaries, and for a fleet above its offline budget."
    )


class Policy(schema.NamedModel):
    """How a release goes through a fleet."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this file's format.")
    description: str = Field(min_length=1, description="One sentence.")
    canary: Wave = Field(description="Who goes first. Nothing else is touched before all of them are well.")
    waves: tuple[Wave, ...] = Field(min_length=1, description="After the canary, in this order.")
    order: Literal["inventory", "name", "site"] = Field(
        default="inventory", description="Who comes first within a wave."
    )
    parallel: int = Field(default=10, ge=1, le=500, description="Devices out of service at once.")
    stage_parallel: int = Field(default=20, ge=1, le=500, description="Devices that download at once.")
    soak_seconds: int = Field(
        default=600, ge=0, le=LONGEST_SOAK_SECONDS, description="A device must stay well so long."
    )
    work: Work | None = Field(
        default_factory=Work, description="What a device does in its soak; null: nothing but being well."
    )
    success_percent: Percent = Field(
        default=100, description="Of a wave's devices that tried the release: so many must be well to go on."
    )
    errors: Errors
    offline: Offline = Field(default_factory=Offline)
    speed: Speed | None = Field(default_factory=Speed, description="null: speed is not judged.")
    windows: Windows | None = Field(default=None, description="null: any time.")
    approve: Literal["never", "after_canary", "each_wave"] = Field(
        default="never", description="Where a person must say `thorctl rollout approve`."
    )
    on_stop: Literal["keep", "return"] = Field(
        default="keep", description="Whether devices that were already committed return too."
    )
    wait: Wait = Field(default_factory=Wait)

    @field_validator("canary")
    @classmethod
    def _canary_is_few(cls, value: Wave) -> Wave:
        if value.rest or value.each or value.percent == 100:
            raise ValueError("a canary of everybody is none")
        if value.success_percent not in (None, 100):
            raise ValueError("success_percent: every canary has to be well")
        return value

    @field_validator("waves")
    @classmethod
    def _rest_is_last(cls, value: tuple[Wave, ...]) -> tuple[Wave, ...]:
        for number, wave in enumerate(value[:-1], start=1):
            if wave.rest or wave.each:
                raise ValueError(f"wave {number} takes whoever is left, so no wave can follow it")
        return value

    def calendar(self, site: str | None) -> Calendar | None:
        """When a site may be changed; None = any time.

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
    """A policy from plain data, such as the store keeps.

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
