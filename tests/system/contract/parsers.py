"""vLLM's own argument parsers, run in the engine's image without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorctl.remote import docker_engine
from thorctl.sim import images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker import DockerClient

HERE = Path(__file__).parent
VERSIONS = ("0.19.1", "0.26.0", "0.32.0")  # the image's own is the last
MODEL_VERSIONS = ("0.19.1", "0.32.0")  # whose classes of models can be built with the image's torch
REQUIREMENTS = {
    "0.19.1": HERE / "vllm-0.19.1.txt",
    "0.26.0": HERE.parents[1] / "engine" / "vllm-0.26.0.txt",
}


def laid_out(version: str, folder: Path) -> Path | None:
    """The packages of a version below ``folder``, laid out once; None for the image's own."""
    if version == VERSIONS[-1]:
        return None
    found = folder / version / "packages"
    if not found.exists():
        packages(folder / version, REQUIREMENTS[version])
    return found


def packages(folder: Path, requirements: Path = REQUIREMENTS["0.19.1"]) -> Path:
    """Lays out vLLM 0.19.1 or another in ``folder`` without its compiled parts; wheels are pinned by hash."""
    wheels, laid = folder / "wheels", folder / "packages"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "--requirement",
            str(requirements),
            "--dest",
            str(wheels),
        ],
        check=True,
    )
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(laid)  # a wheel pinned by its hash
    # Compiled against another torch: without them the package still says what its command line takes.
    for compiled in (laid / "vllm").glob("*.so"):
        compiled.unlink()
    return laid


def ask(
    image: str,
    asked: Mapping[str, Any],
    before: Path | None = None,
    script: str = "parse_serve.py",
) -> dict[str, Any]:
    """What a script of this folder answers; packages in ``before`` win over the image's."""
    words = ["docker", "run", "--rm", "--interactive", "--network", "none", "--entrypoint", "python3"]
    words += ["--volume", f"{HERE}:/contract:ro", "--env", "HOME=/tmp", "--env", "HF_HUB_OFFLINE=1"]
    if before:
        words += ["--volume", f"{before}:/before:ro", "--env", "PYTHONPATH=/before"]
    done = subprocess.run(
        [*words, image, f"/contract/{script}"],
        input=json.dumps(dict(asked)),
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "DOCKER_HOST": docker_engine.find()},
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def engine_image(docker: DockerClient) -> str:
    """The engine's image, built if it is not there."""
    return images.ensure(docker, "cpu-vllm", lambda *_: None).name
