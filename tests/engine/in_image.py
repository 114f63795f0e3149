"""Runs a script of this folder in the engine's image, with another vLLM's packages before the image's own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.engine.served_release import DEPLOY, MODEL, engine_image
from tests.system.contract import parsers
from thorctl.remote import docker_engine

if TYPE_CHECKING:
    from docker import DockerClient

HERE = Path(__file__).parent


def ask(
    docker: DockerClient, script: str, cases: list[dict[str, Any]], packages: Path
) -> list[dict[str, Any]]:
    """What the script answers to the cases: one container for all, since its imports take seconds."""
    mounts = {HERE: "/tests", MODEL: "/models/checkpoint"}
    mounts[DEPLOY / "engine"] = "/etc/thor-engine"
    words = ["docker", "run", "--rm", "--interactive", "--network", "none", "--entrypoint", "python3"]
    for source, target in mounts.items():
        words += ["--volume", f"{source}:{target}:ro"]
    for variable in ("HOME=/tmp", "HF_HUB_OFFLINE=1"):
        words += ["--env", variable]
    words += parsers.before_the_image_s_own(packages)
    done = subprocess.run(
        [*words, engine_image(docker), f"/tests/{script}"],
        input=json.dumps(cases),
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "DOCKER_HOST": docker_engine.find()},
        text=True,
        check=True,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers
