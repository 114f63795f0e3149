"""vLLM's own argument parsers, run in the engine's image without a network."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorctl.remote import docker_engine
from thorctl.sim import images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker import DockerClient

HERE = Path(__file__).parent
LAID_OUT = HERE.parents[2] / ".thorctl" / "vllm"
COMPILED = re.compile(r"vllm/[^/]*\.so$")
VERSIONS = ("0.19.1", "0.26.0", "0.32.0")  # the image's own is the last
MODEL_VERSIONS = ("0.19.1", "0.32.0")  # whose classes of models can be built with the image's torch
REQUIREMENTS = {
    "0.19.1": HERE / "vllm-0.19.1.txt",
    "0.26.0": HERE.parents[1] / "engine" / "vllm-0.26.0.txt",
}


def packages(version: str) -> Path | None:
    """The packages of a version, laid out once for this checkout; None for the image's own."""
    if version == VERSIONS[-1]:
        return None
    requirements = REQUIREMENTS[version]
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    laid = LAID_OUT / f"{version}-{digest}"
    if not laid.exists():
        LAID_OUT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=LAID_OUT) as folder:
            _lay_out(requirements, Path(folder))
            with contextlib.suppress(FileExistsError, OSError):  # another run was faster
                (Path(folder) / "packages").rename(laid)
    return laid


def _lay_out(requirements: Path, folder: Path) -> None:
    """Unpack wheels, pinned by hash, into ``folder``/packages without vLLM's compiled parts."""
    wheels, laid = folder / "wheels", folder / "packages"
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
    exact = ("--only-binary", ":all:", "--require-hashes", "--requirement", str(requirements))
    subprocess.run([*pip, *exact, "--dest", str(wheels)], check=True)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            # Compiled against another torch: without them the package still says what its command line takes.
            archive.extractall(laid, [name for name in archive.namelist() if not COMPILED.match(name)])


def ask(
    image: str,
    asked: Mapping[str, Any],
    before: Path | None = None,
    script: str = "parse_serve.py",
) -> dict[str, Any]:
    """What a script of this folder answers; packages in ``before`` win over the image's."""
    words = ["docker", "run", "--rm", "--interactive", "--network", "none", "--entrypoint", "python3"]
    words += ["--volume", f"{HERE}:/contract:ro", "--env", "HOME=/tmp", "--env", "HF_HUB_OFFLINE=1"]
    words += before_the_image_s_own(before) if before else []
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


def before_the_image_s_own(packages: Path) -> list[str]:
    """Options of ``docker run`` for a version's packages, whose bytecode is kept."""
    return [
        *("--volume", f"{packages}:/before", "--env", "PYTHONPATH=/before"),
        *("--user", f"{os.getuid()}:{os.getgid()}", "--env", "PYTHONDONTWRITEBYTECODE="),
    ]


def engine_image(docker: DockerClient) -> str:
    """The engine's image, built if it is not there."""
    return images.ensure(docker, "cpu-vllm", lambda *_: None).name
