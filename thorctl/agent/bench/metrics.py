"""Parse the engine's counters (GET /metrics, Prometheus text), which show other clients' requests."""

from __future__ import annotations

import re

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
GENERATED = "vllm:generation_tokens_total"
ITERATIONS = "vllm:iteration_tokens_total_count"  # forward passes: a histogram of the tokens of each


def total(text: str | None, name: str) -> int | None:
    """Return the sum of a metric over its labels; None if it is missing."""
    pattern = rf"^{re.escape(name)}(?:\{{[^}}]*\}})? ([0-9.eE+-]+)$"
    values = re.findall(pattern, text or "", re.MULTILINE)
    try:
        return round(sum(float(value) for value in values)) if values else None
    except (ValueError, OverflowError):
        return None
