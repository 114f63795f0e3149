"""Preflight reports as plain data, one per device: for ``--json``, the tables and Ansible."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thorctl.ui.format import memory_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.remote.answer import Answer

UNKNOWN = "unknown"
# The rows of the model card's "Test device", in its order.
ROWS = {"gpu": "GPU", "cpu_memory": "CPU / memory", "software": "Software", "serving": "Serving"}


def report(device: str, release: Mapping[str, Any] | None, answer: Answer) -> dict[str, Any]:
    """Return one device's preflight report.

    Args:
        device: its name.
        release: the document of its release; None if that could not be built.
        answer: of the agent's ``preflight``, or its error.
    """
    data = answer.data
    asked = bool(data.get("items"))
    return {
        "name": device,
        "reachable": answer.reached,
        "release": release["id"] if release else None,
        "device_class": release["device_class"]["name"] if release else None,
        "items": data.get("items") or [],
        "counts": data.get("counts"),
        "test_device": card_rows(release, data) if release and asked else {},
        "facts": data.get("facts"),
        "error": asdict(answer.error) if answer.error else None,
    }


def card_rows(release: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, dict[str, str | None]]:
    """Return the rows of the card's "Test device", each with the card's value (or None) and the device's."""
    card = (release["profile"].get("card") or {}).get("test_device") or {}
    facts = data.get("facts") or {}
    device = {
        "gpu": _gpu(facts),
        "cpu_memory": _cpu_memory(facts),
        "software": _software(facts),
        "serving": _serving(release, present=data.get("image_present")),
    }
    return {row: {"card": card.get(row), "device": device[row]} for row in ROWS}


def _gpu(facts: Mapping[str, Any]) -> str:
    gpu = facts.get("gpu") or {}
    capability = gpu.get("compute_capability")
    words = [gpu.get("name") or UNKNOWN, f"compute capability {capability}" if capability else ""]
    words.append(f"module {facts['module']}" if facts.get("module") else "")
    return ", ".join(word for word in words if word)


def _cpu_memory(facts: Mapping[str, Any]) -> str:
    cores, total = facts.get("cpus"), (facts.get("memory") or {}).get("total_bytes")
    return (
        f"{cores or UNKNOWN}-core {facts.get('architecture') or UNKNOWN}, "
        f"{UNKNOWN if total is None else memory_size(total)} memory"
    )


def _software(facts: Mapping[str, Any]) -> str:
    gpu, l4t = facts.get("gpu") or {}, facts.get("l4t") or {}
    return (
        f"JetPack {facts.get('jetpack') or UNKNOWN} / L4T R{l4t.get('revision_full') or f' {UNKNOWN}'} "
        f"({facts.get('os_release') or UNKNOWN}), CUDA {gpu.get('cuda') or UNKNOWN}, "
        f"driver {gpu.get('driver') or UNKNOWN}, kernel {facts.get('kernel') or UNKNOWN}"
    )


def _serving(release: Mapping[str, Any], *, present: bool | None) -> str:
    """Return the locked image's vLLM, and whether the image is on the device."""
    image = release["lock"]["image"]
    words = f"vLLM {image.get('vllm_version') or UNKNOWN} ({image['reference']})"
    return words if present else f"{words}, not on the device yet"
