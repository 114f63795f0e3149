"""Device classes: the ones in deploy/ are valid; mistakes are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from thorctl.errors import ThorError
from thorctl.release import device_class

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.mark.parametrize("name", device_class.names(DEPLOY))
def test_every_class_loads(name: str) -> None:
    loaded = device_class.load(DEPLOY, name)
    assert loaded.soc == "tegra264"
    assert (
        device_class.version_key(loaded.l4t.minimum) <= (38, 4) < device_class.version_key(loaded.l4t.below)
    )


def test_a_real_thor_gets_its_gpu() -> None:
    thor = device_class.load(DEPLOY, "jetson-agx-thor")
    assert (thor.container.runtime, thor.container.shm_size) == ("nvidia", "16g")
    assert thor.container.environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert thor.free_page_cache
    assert thor.platforms == ("linux/arm64",)


def test_a_t4000_is_told_from_a_t5000_and_has_half_its_memory() -> None:
    large, small = (device_class.load(DEPLOY, name) for name in ("jetson-agx-thor", "jetson-t4000"))
    assert (large.module, small.module) == ("T5000", "T4000")
    assert small.memory_minimum_bytes < 64 * 10**9 < large.memory_minimum_bytes
    assert large.container == small.container
    assert {one.memory_bandwidth_bytes_per_second for one in (large, small)} == {273 * 10**9}
    assert small.power_modes == ()  # nobody knows their names yet: nothing is asked, nothing set


def test_an_unknown_class_lists_those_there_are() -> None:
    with pytest.raises(ThorError, match="no device class 'orin'") as caught:
        device_class.load(DEPLOY, "orin")
    assert caught.value.code == "device_class_unknown"
    assert "jetson-agx-thor" in caught.value.remedy


MISTAKES = {
    "unknown key": ("soc:", "sock:", "unknown key 'sock'. Did you mean 'soc'?"),
    "nested unknown key": ("shm_size:", "shmsize:", "Did you mean 'shm_size'?"),
    "architecture": ("[x86_64, aarch64]", "[arm64]", "architectures.0"),
    "range": ('minimum: "38.2"', 'minimum: "41.0"', "is not below 40.0"),
    "number": ('minimum: "38.2"', "minimum: 38.2", "l4t.minimum: Input should be a valid string"),
    "ipc": ("shm_size: 1g", "ipc: host\n  shm_size: 1g", "unknown key 'ipc'"),
    "no shared memory": ("shm_size: 1g", "shm_size: null", "container.shm_size"),
    "module": ("soc: tegra264", "module: T9000\nsoc: tegra264", "module: Input should be 'T5000' or 'T4000'"),
    "mode": ("power_mode_default: 120W", "power_mode_default: 15W", "is not in power_modes"),
    "ulimit": ("ulimits: {}", 'ulimits: {memlock: "-1 --privileged"}', "ulimit memlock"),
    "gpus": ("shm_size: 1g", "gpus: all\n  shm_size: 1g", "unknown key 'gpus'"),
    "runtime": ("runtime: null", "runtime: 'nvidia --privileged'", "container.runtime"),
    "name": ("name: simulated-container", "name: other", "has name: other"),
}


@pytest.mark.parametrize(("old", "new", "sentence"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(project: Path, old: str, new: str, sentence: str) -> None:
    path = project / "deploy" / "device_classes" / "simulated-container.yml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ThorError, match=re.escape(sentence)) as caught:
        device_class.load(project / "deploy", "simulated-container")
    assert caught.value.code == "device_class_invalid"
    assert str(path) in caught.value.message
