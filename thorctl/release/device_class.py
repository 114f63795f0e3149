"""Device classes: the requirements on a device, from ``deploy/device_classes/<name>.yml``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from thorctl import shipped
from thorctl.files import schema
from thorctl.release.serve_options import check_environment

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

# uname -m -> the image platform.
PLATFORMS = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}

Version = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+(\.\d+)?$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.=,-]*$", max_length=64)]


class L4t(schema.Model):
    """The range of Jetson Linux releases; quoted, since 38.10 is not a number."""

    minimum: Version = Field(description="The oldest accepted release.")
    below: Version = Field(description="The first release that is no longer accepted.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if version_key(self.minimum) >= version_key(self.below):
            raise ValueError(f"minimum {self.minimum} is not below {self.below}")
        return self


class Container(schema.Model):
    """Flags of ``docker run`` that depend on the machine, not on the model."""

    runtime: Word | None = Field(description="--runtime: `nvidia` on a real Thor.")
    shm_size: Annotated[str, StringConstraints(pattern=r"^[1-9]\d*[bkmg]?$")] = Field(
        description="--shm-size: limit of the container's own /dev/shm. Only used space takes memory."
    )
    ulimits: dict[str, str] = Field(
        default_factory=dict, description='--ulimit name=value. A reduced host may refuse memlock "-1".'
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Variables for the container runtime, such as NVIDIA_VISIBLE_DEVICES.",
    )

    @field_validator("ulimits")
    @classmethod
    def _ulimits(cls, value: dict[str, str]) -> dict[str, str]:
        for name, limit in value.items():
            if not re.fullmatch(r"[a-z]+", name) or not re.fullmatch(r"-1|\d+(:(-1|\d+))?", limit):
                raise ValueError(f'ulimit {name}: {limit!r} is not a number, "-1" or "soft:hard"')
        return value

    @field_validator("environment")
    @classmethod
    def _environment(cls, value: dict[str, str]) -> dict[str, str]:
        check_environment(value)
        return value


class Reserve(schema.Model):
    """Resources that must stay free for other programs."""

    memory_bytes: int = Field(ge=0)
    disk_bytes: int = Field(ge=0, description="On each file system that staging writes to.")


class DeviceClass(schema.NamedModel):
    """The requirements on a device."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this file's format.")
    description: str = Field(min_length=1, description="One sentence.")
    architectures: tuple[Literal["x86_64", "aarch64"], ...] = Field(
        min_length=1, description="As `uname -m`."
    )
    soc: Word | None = Field(description="An entry of the device tree's `compatible`; null = not checked.")
    module: Literal["T5000", "T4000"] | None = Field(
        default=None, description="The device's module; null = not checked."
    )
    l4t: L4t
    memory_minimum_bytes: int = Field(gt=0, description="Lowest MemTotal.")
    memory_bandwidth_bytes_per_second: int | None = Field(
        default=None, gt=0, description="The memory's, by its maker; a benchmark reports the used share."
    )
    power_modes: tuple[Word, ...] = Field(description="Names of the allowed `nvpmodel` modes; [] = any.")
    power_mode_default: Word | None = Field(description="The mode that thor_host sets; null = unmanaged.")
    container: Container
    reserve: Reserve
    overlay_root_kept: bool = Field(
        default=False, description="Whether an overlay root outlives a restart, as a container's does."
    )
    image_unpack_ratio: float = Field(ge=1, description="Unpacked bytes / compressed bytes of the image.")
    free_page_cache: bool = Field(
        description="sync + drop_caches before start and after stop: a Thor's GPU counts page cache as used."
    )

    @model_validator(mode="after")
    def _default_is_a_mode(self) -> Self:
        if self.power_mode_default is not None and self.power_mode_default not in self.power_modes:
            raise ValueError(f"power_mode_default {self.power_mode_default} is not in power_modes")
        return self

    @property
    def platforms(self) -> tuple[str, ...]:
        """The image platforms that its devices can run."""
        return tuple(PLATFORMS[architecture] for architecture in self.architectures)


def version_key(version: str) -> tuple[int, ...]:
    """Return ``38.4.0`` as numbers, for comparison."""
    return tuple(int(part) for part in version.split("."))


def names(deploy: Path) -> list[str]:
    """Return the names of all device classes, the project's own and the shipped ones, sorted."""
    return shipped.names(deploy, "device_classes")


def load(deploy: Path, name: str) -> DeviceClass:
    """Read ``device_classes/<name>.yml`` of the project, else the shipped one.

    Raises:
        ThorError: ``device_class_unknown`` (lists them), ``device_class_invalid``, ``yaml_malformed``.
    """
    return schema.load_named(deploy, "device_classes", name, DeviceClass, "device class")
