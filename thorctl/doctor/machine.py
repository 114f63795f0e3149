"""Is what thorctl stands on here? Python, ssh, Ansible with its collections, Docker."""

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
from thorctl.registry.environment import faults as environment_faults
from thorctl.registry.environment import proxies
from thorctl.remote.docker_engine import connect
from thorctl.store import place

if TYPE_CHECKING:
    from collections.abc import Mapping

AREA = "machine"
PYTHON = (3, 11)
COLLECTIONS = ("thorctl.thor",)
SET_UP = f"Set the environment up again: `{shipped.set_up()}`."


def python(running: tuple[int, int, int] = sys.version_info[:3]) -> Check:
    """The interpreter's version."""
    found = ".".join(map(str, running))
    if running >= PYTHON:
        return Check(AREA, "Python", "pass", found)
    return Check(
        AREA, "Python", "fail", found, "Install Python 3.11 or later, then set the environment up again."
    )


def ssh_client(path: str | None = None) -> Check:
    """OpenSSH's client: Ansible needs it (the verbs here bring their own)."""
    program = shutil.which("ssh", path=path)
    if program is None:
        return Check(AREA, "ssh", "fail", "not found", "Install it: `apt-get install openssh-client`.")
    said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr.strip()
    return Check(AREA, "ssh", "pass", said.partition(",")[0] or program)


def ansible(scripts: Path = Path(sys.executable).parent) -> Check:
    """Ansible in the environment that thorctl runs in."""
    try:
        found = f"ansible-core {version('ansible-core')}"
    except PackageNotFoundError:
        return Check(AREA, "Ansible", "fail", "not installed", SET_UP)
    missing = [name for name in ("ansible-playbook", "ansible-inventory") if not (scripts / name).exists()]
    if missing:
        return Check(AREA, "Ansible", "fail", f"{found}, but no {', '.join(missing)} in {scripts}", SET_UP)
    return Check(AREA, "Ansible", "pass", found)


def collections() -> Check:
    """The Ansible collections that the playbooks use: the one that comes with thorctl."""
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
    """A Docker engine: only simulated devices need one here."""
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
    """Proxies and certificates as registry and hub are reached with; one check for each that is wrong."""
    wrong = environment_faults(environment)
    if not wrong:
        named = [f"{name}={proxy}" for name, proxy in proxies(environment).items()]
        found = ", ".join(named) or "no proxy"
        return [Check(AREA, "environment", "pass", found)]
    return [Check(AREA, name, "fail", error.message, error.remedy) for name, error in wrong.items()]


def places() -> Check:
    """The folders that are written to: for temporary files, and for the store of rollouts and baselines."""
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
    """Make a folder and take it away again."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".thorctl-"):
        pass


def checks() -> list[Check]:
    """All of them."""
    return [
        python(),
        ssh_client(),
        ansible(),
        collections(),
        docker(),
        places(),
        *environment_variables(os.environ),
    ]
