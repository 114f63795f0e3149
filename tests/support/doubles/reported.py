"""A preflight as the agent answers it, for the tests of what is made of it."""

from __future__ import annotations

from typing import Any

GIB = 2**30
FACTS: dict[str, Any] = {
    "architecture": "aarch64",
    "cpus": 14,
    "kernel": "6.8.12-tegra",
    "os_release": "Ubuntu 24.04.3 LTS",
    "module": "T5000",
    "l4t": {"release": "38.4", "revision_full": "38.4.0", "raw": "# R38 …"},
    "jetpack": "7.1",
    "gpu": {"name": "NVIDIA Thor", "driver": "580.00", "compute_capability": "11.0", "cuda": "13.0"},
    "memory": {"total_bytes": 131881271296},
}
CARD = {
    "gpu": "NVIDIA Thor (Blackwell, native NVFP4)",
    "cpu_memory": "14-core ARM (aarch64), 122 GB unified memory",
    "software": "JetPack / L4T R38.4 (Ubuntu 24.04), CUDA 13.0, driver 580, kernel 6.8.12-tegra",
    "serving": "vLLM 0.19 (ghcr.io/nvidia-ai-iot/vllm:latest-jetson-thor)",
}
REFERENCE = "ghcr.io/nvidia-ai-iot/vllm:latest-jetson-thor"
RELEASE: dict[str, Any] = {
    "id": "qwable-0123456789ab",
    "profile": {"card": {"test_device": CARD}},
    "lock": {"image": {"reference": REFERENCE, "vllm_version": "0.19.0"}},
    "device_class": {"name": "jetson-agx-thor"},
}  # fmt: skip


def item(name: str, status: str = "pass", **changes: str) -> dict[str, str]:
    told = {"found": "what is", "wanted": "what should be", "message": f"{name} is {status}."}
    remedy = "" if status == "pass" else f"Mend {name}."
    return {"name": name, "status": status, **told, "remedy": remedy, "switch": f"--skip {name}", **changes}


def data(*items: dict[str, str], **changes: Any) -> dict[str, Any]:
    statuses = [one["status"] for one in items]
    return {
        "items": list(items),
        "counts": {status: statuses.count(status) for status in ("pass", "warn", "fail")},
        "release": RELEASE["id"],
        "image_present": True,
        "facts": FACTS,
        **changes,
    }


def said(*items: dict[str, str], **changes: Any) -> dict[str, Any]:
    """The agent's object."""
    failed = any(one["status"] == "fail" for one in items)
    error = {"code": "preflight_failed", "message": "It failed.", "remedy": "Mend it.", "details": {}}
    return {
        "schema": 1,
        "verb": "preflight",
        "ok": not failed,
        "changed": False,
        "data": data(*items, **changes),
        "error": error if failed else None,
    }
