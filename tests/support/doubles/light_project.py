"""A project whose releases run the light engine: as many as a test needs, each with a label of its own."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.doubles import light_image
from tests.support.simulated import CHECKOUT
from thorctl.checkpoint import hub_tree
from thorctl.inventory.simulations import HUB, REGISTRY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.doubles.light_image import Architecture
    from thorctl.sim.state import Simulation

THORCTL = Path(sys.executable).parent / "thorctl"
PROFILE = "light"  # the one the others extend
PARTS = ("device_classes", "engine", "policies", "templates")
# Keys of a release that are no variables of its environment.
CHECKPOINT, MEGABYTES, IMAGE_TAG, READY = "checkpoint", "megabytes", "image_tag", "ready_seconds"
_MIB = 2**20
ANSWERS = {
    "What is the capital of France?": "It is Paris.",
    "What is 2 + 2?": "That makes 4.",
    "What colour is the sky?": "On a clear day it is blue.",
}
PROMPTS: list[dict[str, Any]] = [
    {"name": "capital", "ask": "What is the capital of France?", "expect": "(?i)paris", "thinking": True},
    {"name": "sum", "ask": "What is 2 + 2?", "expect": "\\b4\\b", "thinking": False},
    {"name": "sky", "ask": "What colour is the sky?", "expect": "(?i)blue", "thinking": True},
]


def make(
    folder: Path,
    simulation: Simulation,
    *,
    architecture: Architecture = "amd64",
    releases: Mapping[str, Mapping[str, str]],
) -> Path:
    """Writes deploy/ below ``folder``, all profiles locked; returns ``folder``.

    Args:
        folder: the project's.
        simulation: on whose mirror the checkpoints are published; its registry has the image already.
        architecture: of the devices.
        releases: profile to its environment beside ``light``'s; ``checkpoint`` (a name) gives it other
            weights, ``megabytes`` says how large those are, ``image_tag`` names another image of the same
            repository, ``ready_seconds`` is the time it has to get ready.
    """
    deploy = folder / "deploy"
    for part in PARTS:
        shutil.copytree(CHECKOUT / "deploy" / part, deploy / part)
    (deploy / "profiles").mkdir()
    for name, given in {PROFILE: {}, **releases}.items():
        more = {key: value for key, value in given.items() if key.isupper()}
        checkpoint = given.get(CHECKPOINT, PROFILE)
        repository = f"thorctl/{checkpoint}"
        weights = folder / "checkpoints" / checkpoint
        if not weights.exists():
            make_checkpoint(weights, int(given.get(MEGABYTES, "4")))
            hub_tree.publish(simulation.hub_tree, repository, weights)
        document = profile(name, more, repository, given.get(IMAGE_TAG, architecture))
        if READY in given:
            document["ready"] = dict.fromkeys(document["ready"], int(given[READY]))
        (deploy / "profiles" / f"{name}.yml").write_text(f"---\n{json.dumps(document, indent=1)}\n")
    for name in (PROFILE, *releases):
        lock(folder, simulation, name, architecture)
    return folder


def profile(name: str, environment: Mapping[str, str], repository: str, image_tag: str) -> dict[str, Any]:
    """The profile as a document; JSON is YAML."""
    return {
        "schema": 1,
        "name": name,
        "description": "A light engine that does as it is told.",
        "device_classes": ["simulated-container", "simulated-vm"],
        "image": {
            "reference": f"{REGISTRY}/{light_image.REPOSITORY}:{image_tag}",
            "entrypoint": [],
        },
        "checkpoint": {
            "repository": repository,
            "revision": "main",
            "endpoint": f"http://{HUB}",
        },
        "serve": {"served-model-name": [PROFILE], "port": 8000, "reasoning-parser": "qwen3"},
        "environment": {
            "ENGINE_LABEL": name,
            "ENGINE_ANSWERS": json.dumps(ANSWERS),
            **environment,
        },
        "ready": {"first_start_seconds": 300, "start_seconds": 300},
        "smoke": {"max_tokens": 64, "sequential": 8, "concurrent": 2, "prompts": PROMPTS},
        "license": "Apache-2.0",
    }


def make_checkpoint(folder: Path, megabytes: int) -> None:
    """Files that are whole and mean nothing; the same name gives the same bytes."""
    folder.mkdir(parents=True)
    size = megabytes * _MIB
    header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    content = random.Random(folder.name).randbytes(size)  # noqa: S311 - bytes to tell apart, no secret
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + content)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LightForTests"]}))
    (folder / "tokenizer.json").write_text(json.dumps({"of": folder.name}))


def lock(folder: Path, simulation: Simulation, name: str, architecture: str) -> None:
    """``thorctl lock`` for one profile."""
    via = [word for pair in simulation.via.items() for word in ("--via", "=".join(pair))]
    words = [str(THORCTL), "--project", str(folder), "--json", "lock", name]
    done = subprocess.run(
        [*words, "--platform", f"linux/{architecture}", *via], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
