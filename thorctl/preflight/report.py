"""Preflight reports as plain data, one per device: for ``--json``, the tables and Ansible."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thorctl.protocol.encode import encode
from thorctl.protocol.facts import Gpu
from thorctl.protocol.preflight import PreflightReport
from thorctl.ui.format import memory_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.protocol.facts import Facts
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
    found = answer.get(PreflightReport)
    return {
        "name": device,
        "reachable": answer.reached,
        "release": release["id"] if release else None,
        "device_class": release["device_class"]["name"] if release else None,
        "items": encode(found.items) if found else [],
        "counts": found.counts if found else None,
        "test_device": card_rows(release, found) if release and found and found.items else {},
        "facts": encode(found.facts) if found else None,
        "error": asdict(answer.error) if answer.error else None,
    }


def card_rows(release: Mapping[str, Any], found: PreflightReport) -> dict[str, dict[str, str | None]]:
    """Return the rows of the card's "Test device", each with the card's value (or None) and the device's."""
    card = (release["profile"].get("card") or {}).get("test_device") or {}
    device = {
        "gpu": _gpu(found.facts),
        "cpu_memory": _cpu_memory(found.facts),
        "software": _software(found.facts),
        "serving": _serving(release, present=found.image_present),
    }
    return {row: {"card": card.get(row), "device": device[row]} for row in ROWS}


def _gpu(facts: Facts) -> str:
    gpu = facts.gpu or Gpu()
    words = [
        gpu.name or UNKNOWN,
        f"compute capability {gpu.compute_capability}" if gpu.compute_capability else "",
        f"module {facts.module}" if facts.module else "",
    ]
    return ", ".join(word for word in words if word)


def _cpu_memory(facts: Facts) -> str:
    total = facts.memory.total_bytes if facts.memory else None
    return (
        f"{facts.cpus or UNKNOWN}-core {facts.architecture or UNKNOWN}, "
        f"{UNKNOWN if total is None else memory_size(total)} memory"
    )


def _software(facts: Facts) -> str:
    gpu, l4t = facts.gpu or Gpu(), facts.l4t
    return (
        f"JetPack {facts.jetpack or UNKNOWN} / L4T R{l4t.revision_full if l4t else f' {UNKNOWN}'} "
        f"({facts.os_release or UNKNOWN}), CUDA {gpu.cuda or UNKNOWN}, "
        f"driver {gpu.driver or UNKNOWN}, kernel {facts.kernel or UNKNOWN}"
    )


def _serving(release: Mapping[str, Any], *, present: bool | None) -> str:
    """Return the locked image's vLLM, and whether the image is on the device."""
    image = release["lock"]["image"]
    words = f"vLLM {image.get('vllm_version') or UNKNOWN} ({image['reference']})"
    return words if present else f"{words}, not on the device yet"
