"""Profiles: what to serve and how, as written in ``deploy/profiles/<name>.yml``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from thorctl import shipped
from thorctl.files import schema
from thorctl.release import extends, vllm_options
from thorctl.release.image_reference import ImageReference
from thorctl.release.serve_options import check_engine_files, check_environment, check_options
from thorctl.release.switches import Switches
from thorctl.release.switches import options as switched_options

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

# A word that needs no quoting in systemd, sh or YAML.
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./:@=+-]+$", max_length=256)]
Repository = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$", max_length=96)
]
Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w./-]*$", max_length=255)]
# A mirror may be below a path: https://host/artifactory/api/huggingfaceml/NAME.
Endpoint = Annotated[
    str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$")
]


class Image(schema.Model):
    """The engine's container image."""

    reference: str = Field(description="host[:port]/repository:tag. The lock pins the digest behind the tag.")
    entrypoint: tuple[Word, ...] = Field(
        description="Replaces the image's ENTRYPOINT, before `--config …`; [] keeps the image's."
    )

    user: Literal["own", "root"] = Field(
        default="own",
        description="User of the engine: `own`, the device's account thor-engine, or `root` without "
        "capabilities, for an image whose programs only root can read. Verified by stage.",
    )

    @field_validator("reference")
    @classmethod
    def _reference(cls, value: str) -> str:
        ImageReference.parse(value)
        return value


class Checkpoint(schema.Model):
    """The weights, on a Hugging Face hub or a mirror in its layout."""

    repository: Repository = Field(description="owner/name.")
    revision: Revision = Field(description="Branch, tag or commit. The lock pins the commit behind it.")
    endpoint: Endpoint = Field(default="https://huggingface.co", description="The hub's address.")


EngineFile = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


class Ready(schema.Model):
    """Limits of a start in seconds, after which it has failed."""

    first_start_seconds: int = Field(
        gt=0,
        le=86400,
        description="With empty compile caches: kernels are compiled without output for many minutes.",
    )
    start_seconds: int = Field(gt=0, le=86400, description="With the caches of an earlier start.")


class Prompt(schema.Model):
    """One prompt of the smoke test."""

    name: schema.Name
    ask: str = Field(min_length=1, description="The user's message.")
    expect: str | None = Field(
        description="Python regex searched in the answer (the text after </think>); null = no known answer."
    )
    thinking: bool = Field(description="Whether the model must think first, in a complete block.")

    @field_validator("expect")
    @classmethod
    def _expect(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return value


class Sampling(schema.Model):
    """Sampling of prompts with thinking. null values are vLLM's defaults."""

    temperature: float = Field(ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    min_p: float | None = Field(default=None, ge=0, le=1, description="Omitted with speculative decoding.")
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)


# API features that a smoke test checks beside its prompts (thorctl.agent.smoke.features).
Feature = Literal[
    "logprobs",
    "structured_output",
    "tool_call",
    "long_prompt",
    "long_prompt_answer",
    "cancelled_stream",
]


class Smoke(schema.Model):
    """Generations and API features to check before a release may be committed."""

    max_tokens: int = Field(gt=0, le=32768, description="Per generation; reaching it fails the generation.")
    sequential: int = Field(
        ge=8,
        le=64,
        description="Generations one by one; some faults occur after five only (prompts are repeated).",
    )
    concurrent: int = Field(ge=2, le=64, description="Concurrent generations.")
    prompts: tuple[Prompt, ...] = Field(min_length=1)
    sampling: Sampling | None = Field(
        default=None,
        description="Of prompts with thinking. null: that of the checkpoint's generation_config.json; if it "
        "has no temperature, they are decoded greedily, as those without thinking are.",
    )
    not_asked: dict[Feature, Annotated[str, StringConstraints(min_length=1, max_length=300)]] = Field(
        default_factory=dict,
        description="Features that are not tested with this model, each with the reason, which the report "
        "repeats. All others are: logprobs, structured_output, tool_call (with a tool-call-parser), "
        "long_prompt and long_prompt_answer, cancelled_stream.",
    )

    @field_validator("prompts")
    @classmethod
    def _names_differ(cls, value: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
        names = [prompt.name for prompt in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"prompt name used twice: {', '.join(twice)}")
        return value


class CardDevice(schema.Model):
    """The device of the model card's test, as named there."""

    gpu: str = Field(min_length=1)
    cpu_memory: str = Field(min_length=1)
    software: str = Field(min_length=1)
    serving: str = Field(min_length=1)


class CardSpeed(schema.Model):
    """The card's figures of one variant: decoding at batch 1 and 16, and the size of its files."""

    single_stream_tokens_per_second: float = Field(gt=0)
    batched_16_tokens_per_second: float = Field(gt=0, description="All 16 streams together.")
    on_disk_gb: float = Field(gt=0, description="In units of 10⁹ bytes.")


class Card(schema.Model):
    """The model card's figures, shown beside a device's."""

    test_device: CardDevice
    speed: CardSpeed = Field(description="Of this profile's checkpoint.")
    source_speed: CardSpeed | None = Field(
        default=None, description="Of the unquantized source; null if the profile serves that."
    )


class Profile(schema.NamedModel):
    """What to serve and how."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this file's format.")
    description: str = Field(min_length=1, description="One sentence.")
    device_classes: tuple[schema.Name, ...] = Field(
        min_length=1, description="Device classes of this profile."
    )
    image: Image
    checkpoint: Checkpoint
    serve: dict[str, Any] = Field(
        description="Long option names of `vllm serve`, without dashes; becomes serve.yaml. `port` and "
        "`served-model-name` are required; the engine listens on a Unix socket, the door in front of it on "
        "127.0.0.1:port, and model is always /models/checkpoint."
    )
    switches: Switches = Field(default_factory=Switches, description="Contested features, off by default.")
    engine_files: tuple[EngineFile, ...] = Field(
        default=(),
        description="Files of deploy/engine that become part of the release: tool parser, chat template. "
        "The container has them in /etc/thor-engine.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="Environment of the engine; becomes engine.env. No secrets."
    )
    ready: Ready
    smoke: Smoke
    license: str = Field(min_length=1, description="SPDX identifier of the checkpoint's license.")
    card: Card | None = Field(default=None, description="The model card's figures; for display only.")

    @field_validator("serve")
    @classmethod
    def _serve(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_options(value)
        vllm_options.check(value, None)  # render checks against the locked version
        return value

    @field_validator("environment")
    @classmethod
    def _environment(cls, value: dict[str, str]) -> dict[str, str]:
        check_environment(value)
        return value

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        if len(set(self.device_classes)) != len(self.device_classes):
            raise ValueError("a device class is listed twice")
        return self

    @model_validator(mode="after")
    def _engine_files_fit(self) -> Self:
        check_engine_files(self.serve, self.engine_files)
        return self

    @model_validator(mode="after")
    def _switches_fit(self) -> Self:
        switched_options(self.serve, self.switches)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Return serve.yaml's options without model and socket, with the port: ``serve`` and switches."""
        return switched_options(self.serve, self.switches)

    @property
    def port(self) -> int:
        """The door's TCP port on the device's loopback."""
        return int(self.serve["port"])

    @property
    def model_name(self) -> str:
        """The engine's model name in /v1/models."""
        return str(self.serve["served-model-name"][0])


def names(deploy: Path) -> list[str]:
    """Return the names of all profiles, the project's own and the shipped ones, sorted."""
    return shipped.names(deploy, "profiles")


def load(deploy: Path, name: str) -> Profile:
    """Read ``profiles/<name>.yml`` of the project, else the shipped one.

    Raises:
        ThorError: ``profile_unknown`` (lists the profiles), ``profile_invalid``, ``yaml_malformed``.
    """
    return schema.load_named(
        deploy, "profiles", name, Profile, "profile", prepare=lambda file: extends.resolved(file, deploy)
    )
