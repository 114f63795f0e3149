"""Explain why an engine did not get ready, and name the remedy, from its log and its exit status."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.agent.engine import last_error, network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.protocol.status import UnitEnd

SHOWN_BEFORE, SHOWN_AFTER = 40, 5  # lines of the log around the error
KILLED = "137"  # exit status of a container whose process got SIGKILL
_READ = "Read the log around it in the details, or the whole log with `thorctl logs DEVICE`."
_SMALLER = "a smaller max-num-seqs, max-model-len or kv-cache-memory-bytes."
# Remedy → regular expressions of the error.
_REMEDIES: dict[str, str] = {
    f"If this image requires a network, set {network.SETTING}: own in the inventory.": (
        r"network is unreachable|name resolution|name or service not known|gaierror|no route to host"
    ),
    "Correct the option in the profile: this image's vLLM does not accept it.": (
        r"unrecognized arguments|invalid choice|error: argument |expected one argument|ambiguous option"
        r"|invalid tool call parser|invalid reasoning parser|reasoning parser .* not found"
    ),
    f"Free memory (`thorctl preflight DEVICE` lists who uses it), or serve with {_SMALLER}": (
        r"Free memory on device|No available memory for the cache|CUDA out of memory|OutOfMemoryError"
        r"|Cannot allocate memory|NvMapMemAlloc|not enough memory"
    ),
    "Lower max-model-len in the profile, or raise kv-cache-memory-bytes.": (
        r"KV cache is needed, which is larger than|needed to serve at least one request"
    ),
    "Lower max-model-len in the profile to what the model's config.json allows.": (
        r"max_model_len|maximum model length|max_position_embeddings"
    ),
    "Stage the release again: its files are verified against the lock. If they are as locked, lock another"
    " commit of the checkpoint, or check it: `thorctl checkpoint audit`.": (
        r"Safetensor|Cannot find any model weights|HFValidationError|no file named|not a valid JSON file"
        r"|Error while deserializing|weights were not initialized|Can't load tokenizer|module or parameter"
    ),
    "Choose another image or checkpoint in the profile: this image's vLLM or this device cannot load "
    "the checkpoint's quantization.": (
        r"Unknown quantization|quantization method|not supported for the current GPU"
    ),
    "Find out which program has the address (`ss -lx`, `ss -ltnp` on the device), stop it, then "
    "activate again.": (r"Address already in use"),
    "Run `thorctl preflight DEVICE`: image and driver, or the container runtime, do not fit. Then "
    "run site.yml, or choose another image.": (
        r"no kernel image is available|driver version is insufficient|unsupported display driver"
        r"|CUDA driver initialization|CUDA_ERROR|nvidia-container-cli|unknown or invalid runtime name"
    ),
    "Stage the release again: `thorctl stage DEVICE`.": (r"No such image|Unable to find image"),
}


@dataclass(frozen=True)
class Failure:
    """``why``: one line; ``lines``: the part of the log around it."""

    why: str
    remedy: str
    lines: tuple[str, ...]


def of(log: Sequence[str], last_end: UnitEnd | None) -> Failure:
    """Explain a log, the oldest line first; ``last_end`` is systemd's record of the engine's last run."""
    log = [last_error.readable(line) for line in log if line.strip()]
    found = last_error.find(log)
    killed = last_end is not None and (last_end.status == KILLED or last_end.code == "killed")
    if killed and (found is None or found.relayed):
        after = f"; its last line: {log[-1].strip()}" if log else ""
        remedy = (
            "Check `journalctl -k` on the device: most often the memory was full. Free memory "
            f"(`thorctl preflight DEVICE` lists who uses it), or serve with {_SMALLER}"
        )
        return Failure(f"its process was killed (SIGKILL){after}", remedy, tuple(log[-SHOWN_BEFORE:]))
    if found is None:
        return Failure(log[-1] if log else "its log is empty", _READ, tuple(log[-SHOWN_BEFORE:]))
    fits = [remedy for remedy, says in _REMEDIES.items() if re.search(says, found.text, re.IGNORECASE)]
    around = log[max(0, found.line - SHOWN_BEFORE) : found.line + 1 + SHOWN_AFTER]
    return Failure(found.text, " ".join([*fits[:1], _READ]), tuple(around))
