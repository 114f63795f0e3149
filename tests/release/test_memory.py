"""Options of a release's engine: the cache's size and the share of memory, filled in by device class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.documents import QWABLE, changed, lock_document
from thorctl.errors import ThorError
from thorctl.release import device_class, profile
from thorctl.release.engine_memory import GIB, cache
from thorctl.release.lock import Lock
from thorctl.release.memory import effective
from thorctl.release.model_config import ModelFigures, UnknownModel

if TYPE_CHECKING:
    from thorctl.release.profile import Profile

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# The card's 24 and 67 are GiB: the tensors of the full-size model alone have 69 GB in BF16.
NVFP4_BYTES, BF16_BYTES = 24 * GIB, 67 * GIB
T5000_BYTES = 125772 * 2**20  # MemTotal of a device


def lock_of(of: Profile, weights_bytes: int, model: ModelFigures | UnknownModel | None = QWABLE) -> Lock:
    document = lock_document(of, "linux/arm64")
    files = document["checkpoint"]["files"]
    files[-1]["size"] = weights_bytes
    document["checkpoint"]["total_bytes"] = sum(file["size"] for file in files)
    document["checkpoint"]["model"] = model.model_dump(mode="json") if model else None
    return Lock.model_validate(document)


def qwable(serve: dict[str, Any] | None = None, name: str = "qwable-v1-nvfp4a16") -> Profile:
    of = profile.load(DEPLOY, name)
    return changed(of, serve={**of.serve, **(serve or {})})


@pytest.mark.parametrize(
    ("name", "class_name", "weights_bytes", "left_gib"),
    [
        ("qwable-v1-nvfp4a16", "jetson-agx-thor", NVFP4_BYTES, 80),
        ("qwable-v1-nvfp4a16-upstream", "jetson-agx-thor", NVFP4_BYTES, 80),
        ("qwable-v1-nvfp4a16", "jetson-t4000", NVFP4_BYTES, 19),
        ("qwable-v1-bf16", "jetson-agx-thor", BF16_BYTES, 40),
    ],
)
def test_shipped_profiles_take_what_their_contexts_need(
    name: str, class_name: str, weights_bytes: int, left_gib: int
) -> None:
    of, made_for = qwable(name=name), device_class.load(DEPLOY, class_name)
    assert "gpu-memory-utilization" not in of.serve
    options, need = effective(of, lock_of(of, weights_bytes), made_for)
    assert need is not None
    need_of_cache = cache(QWABLE, of.options).bytes
    assert need_of_cache < options["kv-cache-memory-bytes"] < 1.2 * need_of_cache
    memory = made_for.memory_minimum_bytes
    assert need.total_bytes <= options["gpu-memory-utilization"] * memory < need.total_bytes + memory / 100
    assert memory - need.total_bytes > left_gib * GIB


def test_a_t5000_keeps_more_than_50_gib_for_the_robot() -> None:
    of = qwable()
    _, need = effective(of, lock_of(of, NVFP4_BYTES), device_class.load(DEPLOY, "jetson-agx-thor"))
    assert need is not None
    assert T5000_BYTES - need.total_bytes > 50 * GIB


def test_own_cache_size_is_kept_and_the_share_follows_it() -> None:
    thor = device_class.load(DEPLOY, "jetson-agx-thor")
    own = qwable({"kv-cache-memory-bytes": 40 * GIB})
    options, need = effective(own, lock_of(own, NVFP4_BYTES), thor)
    assert options["kv-cache-memory-bytes"] == 40 * GIB
    assert options["gpu-memory-utilization"] > 0.5
    assert need is not None
    assert need.kv_cache_bytes == 40 * GIB


def test_own_share_leaves_the_cache_to_vllm() -> None:
    own = qwable({"gpu-memory-utilization": 0.6})
    options, need = effective(own, lock_of(own, NVFP4_BYTES), device_class.load(DEPLOY, "jetson-agx-thor"))
    assert need is None
    assert options == own.options


def test_both_of_the_profile_are_kept() -> None:
    own = qwable({"gpu-memory-utilization": 0.4, "kv-cache-memory-bytes": "12G"})
    options, need = effective(own, lock_of(own, NVFP4_BYTES), device_class.load(DEPLOY, "jetson-agx-thor"))
    assert options == own.options
    assert need is not None
    assert need.kv_cache_bytes == 12 * GIB


def test_mtp_gets_the_larger_cache() -> None:
    thor, plain = device_class.load(DEPLOY, "jetson-agx-thor"), qwable()
    all_of = [plain, *(changed(plain, switches={"mtp": ahead}) for ahead in (True, 3))]
    made = [effective(of, lock_of(of, NVFP4_BYTES), thor)[0] for of in all_of]
    sizes = [options["kv-cache-memory-bytes"] for options in made]
    assert 7.8 * GIB < sizes[1] < 8.7 * GIB
    assert 10.1 * GIB < sizes[2] < 11.2 * GIB
    assert sizes[0] < sizes[1]
    assert [options["speculative-config"]["num_speculative_tokens"] for options in made[1:]] == [1, 3]
    assert type(made[1]["speculative-config"]["num_speculative_tokens"]) is int
    with pytest.raises(ValueError, match="mtp"):
        changed(plain, switches={"mtp": 2})


def test_an_earlier_lock_says_to_lock_again() -> None:
    of = qwable()
    with pytest.raises(ThorError) as caught:
        effective(of, lock_of(of, NVFP4_BYTES, None), device_class.load(DEPLOY, "jetson-agx-thor"))
    assert caught.value.code == "model_not_locked"
    assert "thorctl lock qwable-v1-nvfp4a16" in caught.value.remedy


def test_an_unknown_model_needs_the_profile_s_own_figure() -> None:
    thor, of = device_class.load(DEPLOY, "jetson-agx-thor"), qwable()
    unknown = UnknownModel(reason="config.json names model type 'gemma3', whose cache thorctl cannot compute")
    with pytest.raises(ThorError, match="'gemma3'") as caught:
        effective(of, lock_of(of, NVFP4_BYTES, unknown), thor)
    assert caught.value.code == "memory_not_computed"
    assert "kv-cache-memory-bytes" in caught.value.remedy
    own = qwable({"kv-cache-memory-bytes": "12G"})
    options, need = effective(own, lock_of(own, NVFP4_BYTES, unknown), thor)
    assert need is not None
    assert options["gpu-memory-utilization"] > 0.2


def test_more_than_the_device_has_is_refused() -> None:
    of = changed(qwable({"max-num-seqs": 512}), device_classes=["jetson-t4000"])
    with pytest.raises(ThorError, match=r"has 56\.0 GiB") as caught:
        effective(of, lock_of(of, NVFP4_BYTES), device_class.load(DEPLOY, "jetson-t4000"))
    assert caught.value.code == "memory_exceeds_device"
    assert "max-num-seqs" in caught.value.remedy


def test_a_processor_s_engine_has_its_own_figure_and_no_share() -> None:
    of = profile.load(DEPLOY, "tiny-qwable")
    options, need = effective(of, lock_of(of, 10**7, None), device_class.load(DEPLOY, "simulated-container"))
    assert options == of.options
    assert need is not None
    assert need.kv_cache_bytes == GIB
