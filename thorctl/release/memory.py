"""Options of a release's engine with computed memory sizes, and the engine's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from thorctl.errors import ThorError
from thorctl.files import schema
from thorctl.protocol.sizes import gibibytes
from thorctl.release import engine_memory
from thorctl.release.engine_memory import KV_OPTION, SHARE_OPTION, NotComputedError
from thorctl.release.model_config import ModelFigures, UnknownModel

if TYPE_CHECKING:
    from typing import Self

    from thorctl.release.device_class import DeviceClass
    from thorctl.release.engine_memory import Need
    from thorctl.release.lock import Lock
    from thorctl.release.profile import Profile

_NVIDIA = "nvidia"
_SHARES = (SHARE_OPTION, "device-memory-utilization")  # vLLM 0.32 accepts either name


class Memory(schema.Model):
    """The memory of an engine, in bytes. Its reasons are not part of a release: `needed` returns them."""

    weights_bytes: int = Field(ge=0)
    kv_cache_bytes: int = Field(ge=0)
    headroom_bytes: int = Field(ge=0)
    graphs_and_workspace_bytes: int = Field(ge=0)
    total_bytes: int = Field(ge=0)
    utilization: float | None = Field(description="The option gpu-memory-utilization; null on a processor.")

    @model_validator(mode="after")
    def _total_is_the_sum(self) -> Self:
        parts = (
            self.weights_bytes,
            self.kv_cache_bytes,
            self.headroom_bytes,
            self.graphs_and_workspace_bytes,
        )
        if self.total_bytes != sum(parts):
            raise ValueError("total_bytes is not the sum of the parts")
        return self


def effective(
    profile: Profile, lock: Lock, device_class: DeviceClass
) -> tuple[dict[str, Any], Memory | None]:
    """Return the options of serve.yaml without model and socket, and the engine's memory.

    On a GPU the cache's size and the share of memory are computed if the profile does not set them. The
    memory is None if vLLM sizes the cache: by the profile's own share, or on a processor.

    Raises:
        ThorError: ``model_not_locked``, ``memory_not_computed``, ``memory_exceeds_device``.
    """
    options = profile.options
    on_gpu = device_class.container.runtime == _NVIDIA
    own_share = next((options[name] for name in _SHARES if name in options), None)
    if KV_OPTION not in options and (own_share is not None or not on_gpu):
        return options, None
    need = needed(profile, lock, device_class)
    if not on_gpu:
        return options, _memory(need, None)
    memory_bytes = device_class.memory_minimum_bytes
    share = engine_memory.share(need.total_bytes, memory_bytes)
    if own_share is not None:
        return options, _memory(need, own_share)
    if share > 1:
        raise ThorError(
            "memory_exceeds_device",
            f"Profile {profile.name!r} needs {gibibytes(need.total_bytes)} of memory; a device of class "
            f"{device_class.name} has {gibibytes(memory_bytes)}.",
            "Lower max-num-seqs or max-model-len in the profile, or choose a class with more memory.",
        )
    options = {KV_OPTION: need.kv_cache_option, SHARE_OPTION: share, **options}
    return options, _memory(need, share)


def needed(profile: Profile, lock: Lock, device_class: DeviceClass) -> Need:
    """Return the parts of the engine's memory, with the reasons.

    Raises:
        ThorError: ``model_not_locked``, ``memory_not_computed``.
    """
    options, model = profile.options, lock.checkpoint.model
    on_gpu = device_class.container.runtime == _NVIDIA
    if model is None and KV_OPTION not in options:
        raise ThorError(
            "model_not_locked",
            f"The lock of profile {profile.name!r} was written by an earlier thorctl: it has no figures "
            "of the model, so the engine's memory cannot be computed.",
            f"Lock the profile again: `thorctl lock {profile.name}`.",
        )
    figures = model if isinstance(model, ModelFigures) else None
    try:
        return engine_memory.needed(figures, options, lock.checkpoint.weights_bytes, on_gpu=on_gpu)
    except NotComputedError as error:
        reason = model.reason if isinstance(model, UnknownModel) and KV_OPTION not in options else error
        raise ThorError(
            "memory_not_computed",
            f"Profile {profile.name!r}: the memory of the engine cannot be computed: {reason}.",
            f"Set {KV_OPTION} under `serve:` (bytes of KV cache), or {SHARE_OPTION} (vLLM then sizes the "
            "cache from that share of all memory).",
        ) from error


def _memory(need: Need, utilization: float | None) -> Memory:
    parts = {f"{name}_bytes": part.bytes for name, part in need.parts.items()}
    return Memory.model_validate({**parts, "total_bytes": need.total_bytes, "utilization": utilization})
