"""What a Thor's agent could say after a benchmark, to be changed by the test."""

from __future__ import annotations

import copy
from typing import Any

RELEASE = "qwable-v1-nvfp4a16-0123456789ab"


def figures(speed: float, requests: int, at_once: int, ttft: float) -> dict[str, Any]:
    return {
        "decode_tokens_per_second": speed,
        "output_tokens_per_second": speed - 1,
        "tpot_ms": round(1000 * at_once / speed, 3),
        "ttft_mean_ms": ttft,
        "ttft_median_ms": ttft,
        "ttft_p99_ms": ttft + 2,
        "input_tokens": 29 * requests,
        "output_tokens": 256 * requests,
        "requests": requests,
        "at_once": at_once,
        "seconds": 50.0,
    }


def condition(celsius: float) -> dict[str, Any]:
    return {
        "at": "2026-11-25T17:00:00Z",
        "power_mode": "120W",
        "clocks_locked": True,
        "gpu_min_hertz": 1386000000,
        "gpu_max_hertz": 1386000000,
        "memory_hertz": 4266000000,
        "temperature_celsius": {"cpu": celsius - 2, "tj": celsius},
        "power_milliwatts": {"VIN": 19780},
        "over_current_events": {"hwmon3/oc1": 2},
        "gpu_processes": ["VLLM::EngineCore"],
        "gpu_memory_bytes": 22548578304,
        "memory_available_bytes": 90000000000,
        "l4t": "38.4.0",
    }


_DATA: dict[str, Any] = {
    "release": RELEASE,
    "machine": "00112233aabbccdd",
    "device_class": "jetson-agx-thor",
    "power_modes": ["MAXN", "120W", "90W", "70W"],
    "method": {
        "tokens": 256,
        "requests": 8,
        "rounds": 4,
        "at_once": 16,
        "at_once_wanted": 16,
        "quick": False,
        "commands": [["vllm", "bench", "serve", "--num-prompts", "8"]],
    },
    "measured": {
        "single": figures(41.2, 8, 1, 61.0),
        "identical": figures(329.0, 64, 16, 140.0),
        "different": figures(254.0, 64, 16, 150.0),
    },
    "engine": {
        "vllm_version": "0.19.0",
        "image_digest": "sha256:" + "a" * 64,
        "model": "qwable-v1",
        "alone": True,
    },
    "before": condition(44.0),
    "after": condition(58.0),
    "over_current_delta": {"hwmon3/oc1": 0},
    "checkpoint_bytes": 24012345678,
    "bytes_per_token": {"lm_head": 1017000000, "total": 4005000000},
    "roofline": {
        "bandwidth_bytes_per_second": 273000000000,
        "limit_tokens_per_second": 68.16,
        "share": 0.6044,
    },
    "unknown": None,
    "seconds": 287.4,
}


def data(**changes: Any) -> dict[str, Any]:
    """The data; ``before__power_mode="MAXN"`` changes one word of a part."""
    made = copy.deepcopy(_DATA)
    for path, value in changes.items():
        *parts, last = path.split("__")
        place = made
        for part in parts:
            place = place[part]
        place[last] = value
    return made


def speeds(single: float, identical: float, different: float) -> dict[str, Any]:
    """``changes`` that set the three speeds."""
    values = {"single": single, "identical": identical, "different": different}
    return {f"measured__{name}__decode_tokens_per_second": value for name, value in values.items()}
