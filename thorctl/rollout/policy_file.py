"""A project's policies, and the overrides of their keys on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl import shipped
from thorctl.files import schema
from thorctl.rollout.policy import SELECTORS, Policy, from_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def names(deploy: Path) -> list[str]:
    """Return the names of all policies, the project's own and the shipped ones, sorted."""
    return shipped.names(deploy, "policies")


def load(deploy: Path, name: str) -> Policy:
    """Read ``policies/<name>.yml`` of the project, else the shipped one.

    Raises:
        ThorError: ``policy_unknown`` (lists them), ``policy_invalid`` with file and line, ``yaml_malformed``.
    """
    return schema.load_named(deploy, "policies", name, Policy, "policy")


def changed(policy: Policy, options: Mapping[str, Any]) -> Policy:
    """Return the policy with the overrides of ``options``, named as on the command line; None = not given.

    Raises:
        ThorError: ``policy_invalid``, naming the key.
    """
    said = {name: value for name, value in options.items() if value is not None}
    whole = policy.model_dump(mode="json")
    whole |= {key: said[key] for key in ("parallel", "approve", "on_stop") if key in said}
    if "canary" in said:  # its selection; its other keys are kept
        whole["canary"] |= {**dict.fromkeys(SELECTORS), "count": said["canary"]}
    if "soak" in said:
        whole["soak_seconds"] = said["soak"]
        for wave in (whole["canary"], *whole["waves"]):
            wave["soak_seconds"] = None
    if "stop_at" in said:
        whole["errors"] = {"stop_at_devices": said["stop_at"]}
    if "speed_tolerance" in said:
        whole["speed"] = {**(whole["speed"] or {}), "tolerance_percent": said["speed_tolerance"]}
    if "wait_hold" in said:
        whole["wait"]["hold_seconds"] = said["wait_hold"]
    return from_document(whole, "these options")
