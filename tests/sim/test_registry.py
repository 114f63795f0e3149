"""The engine's image: asked for by the profile's tag; a push that fails inside its stream failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from thorctl.errors import ThorError
from thorctl.inventory.simulations import HUB, REGISTRY
from thorctl.sim import inventory, registry

PROFILES = Path(__file__).resolve().parents[2] / "deploy" / "profiles"


def test_what_is_pushed_is_what_the_profile_asks_for() -> None:
    profile = YAML(typ="safe").load((PROFILES / f"{inventory.PROFILE}.yml").read_text())
    wanted = f"{REGISTRY}/{registry.ENGINE_REPOSITORY}:{registry.ENGINE_TAG}"
    assert profile["image"]["reference"] == wanted
    assert profile["checkpoint"]["endpoint"] == f"http://{HUB}"


def test_progress_is_summed_over_layers() -> None:
    seen: list[str] = []
    events: list[dict[str, Any]] = [
        {"status": "The push refers to repository"},
        {"id": "a", "progressDetail": {"current": 1_000_000, "total": 4_000_000}},
        {"id": "b", "progressDetail": {}},
        {"id": "b", "progressDetail": {"current": 2_000_000, "total": 2_000_000}},
    ]
    registry.follow(events, seen.append)
    assert seen == ["1 of 4 MB", "3 of 6 MB"]


def test_an_error_inside_the_stream_is_raised() -> None:
    with pytest.raises(ThorError) as caught:
        registry.follow([{"status": "ok"}, {"error": "no space left on device"}], lambda _: None)
    assert caught.value.code == "image_push_failed"
    assert "no space left" in caught.value.message
