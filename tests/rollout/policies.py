"""Policies to test with: the shortest one that is valid, and what differs."""

from __future__ import annotations

from typing import Any

from thorctl.rollout.policy import Policy, from_document

PLAIN: dict[str, Any] = {
    "schema": 1,
    "name": "plain",
    "description": "For tests.",
    "canary": {"count": 1},
    "waves": [{"rest": True}],
    "soak_seconds": 60,
    "errors": {"stop_at_devices": 3},
}


def policy(**changes: Any) -> Policy:
    return from_document({**PLAIN, **changes}, "test")
