"""Check the software of the controller: Python, ssh, Ansible with its collections, Docker."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import DockerException

from thorctl import shipped
from thorctl.doctor.check import Check
from thorctl.errors import ThorError
from thorctl.files import atomic
from thorctl.registry.environment import faults as environment_faults
from thorctl.registry.environment import proxies
from thorctl.remote.docker_engine import connect
from thorctl.store import place

if TYPE_CHECKING:
    from collections.abc import Mapping

AREA = "machine"
_TRIED_BYTES = 4096  # one block
PYTHON = (3, 11)
COLLECTIONS = ("thorctl.thor",)
SET_UP = f"Set the environment up again: `{shipped.set_up()}`."


def python(running: tuple[int, int, int] = sys.version_info[:3]) -> Check:
    """Check the interpreter's version."""
    found = ".".join(map(str, running))
    if running >= PYTHON:
        return Check(AREA, "Python", "pass", found)
    return Check(
        AREA, "Python", "fail", found, "Install Python 3.11 or later, then set the environment up again."
    )


def ssh_client(path: str | None = None) -> Check:
    """Check OpenSSH's client, which Ansible needs (thorctl's verbs have their own)."""
    program = shutil.which("ssh", path=path)
    if program is None:
        return Check(AREA, "ssh", "fail", "not found", "Install it: `apt-get install openssh-client`.")
    said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr.strip()
    return Check(AREA, "ssh", "pass", said.partition(",")[0] or program)


def ansible(scripts: Path = Path(sys.executable).parent) -> Check:
    """Check Ansible in thorctl's environment."""
    try:
        found = f"ansible-core {version('ansible-core')}"
    except PackageNotFoundError:
        return Check(AREA, "Ansible", "fail", "not installed", SET_UP)
    missing = [name for name in ("ansible-playbook", "ansible-inventory") if not (scripts / name).exists()]
    if missing:
        return Check(AREA, "Ansible", "fail", f"{found}, but no {', '.join(missing)} in {scripts}", SET_UP)
    return Check(AREA, "Ansible", "pass", found)


def collections() -> Check:
    """Check the Ansible collections of the playbooks, which thorctl includes."""
    missing = [name for name in COLLECTIONS if not _has_collection(name)]
    if missing:
        return Check(AREA, "collections", "fail", f"missing: {', '.join(missing)}", SET_UP)
    return Check(AREA, "collections", "pass", ", ".join(COLLECTIONS))


def _has_collection(name: str) -> bool:
    try:
        return importlib.util.find_spec(f"ansible_collections.{name}") is not None
    except ModuleNotFoundError:
        return False


def docker(environment: Mapping[str, str] | None = None) -> Check:
    """Check for a Docker engine, which only simulated devices need."""
    try:
        with contextlib.closing(connect(environment)) as client:
            found = str(client.version()["Version"])
    except ThorError as error:
        remedy = f"Ignore this without simulated devices. {error.remedy}"
        return Check(AREA, "Docker engine", "warn", error.message, remedy)
    except (DockerException, OSError) as error:
        return Check(
            AREA,
            "Docker engine",
            "warn",
            str(error),
            "Ignore this without simulated devices; else read `docker info`.",
        )
    return Check(AREA, "Docker engine", "pass", found)


def environment_variables(environment: Mapping[str, str]) -> list[Check]:
    """Check the proxies and certificates for registry and hub; return one check per fault."""
    wrong = environment_faults(environment)
    if not wrong:
        named = [f"{name}={proxy}" for name, proxy in proxies(environment).items()]
        found = ", ".join(named) or "no proxy"
        return [Check(AREA, "environment", "pass", found)]
    return [Check(AREA, name, "fail", error.message, error.remedy) for name, error in wrong.items()]


def places() -> Check:
    """Check the writable folders: for temporary files, and for the store of rollouts and baselines."""
    name, folder = "store", place.store_file().parent
    try:
        _try_to_write(next(one for one in (folder, *folder.parents) if one.exists()))
        name = "temporary files"
        folder = Path(tempfile.gettempdir())
        _try_to_write(folder)
    except OSError as error:
        variable = place.VARIABLE if name == "store" else "TMPDIR"
        found = f"{name}: {folder if name == 'store' else error.filename or ''}: {error.strerror or error}"
        return Check(AREA, "folders", "fail", found, f"Name a folder that you can write to: {variable}=DIR.")
    return Check(AREA, "folders", "pass", f"{place.store_file().parent}, {folder}")


def _try_to_write(folder: Path) -> None:
    """Write and remove a file: on a full disk a folder can be made, and nothing be written."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".thorctl-") as made:
        atomic.write(Path(made) / "file", bytes(_TRIED_BYTES))


def checks() -> list[Check]:
    """Return all checks."""
    return [
        python(),
        ssh_client(),
        ansible(),
        collections(),
        docker(),
        places(),
        *environment_variables(os.environ),
    ]
