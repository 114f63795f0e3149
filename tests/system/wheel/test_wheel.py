"""The wheel alone, away from the checkout: what an operator has after pip install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.documents import lock_for
from tests.support.simulated import CHECKOUT
from thorctl import __version__
from thorctl.onboarding import init
from thorctl.registry import resolve as locking
from thorctl.release import lock, profile
from thorctl.sim.ports import free_port

pytestmark = pytest.mark.wheel

PATIENCE = 600  # seconds, for pip on a busy machine
HOSTS = "      hosts: {}\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built by the backend that pyproject.toml names."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True, timeout=PATIENCE)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of a new environment that holds the wheel and what it depends on."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, timeout=PATIENCE)
    pip = [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    done = subprocess.run(pip, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return home / "bin"


@pytest.fixture(scope="module")
def folder(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project made by the wheel, with one device that nobody answers for."""
    made = tmp_path_factory.mktemp("operator") / "fleet"
    done = call(programs, made.parent, "thorctl", "init", str(made), "--extends", "tiny-qwable")
    assert done.returncode == 0, done.stderr
    hosts = made / "inventory" / "hosts.yml"
    device = f"      hosts: {{thor-01: {{ansible_host: 127.0.0.1, ansible_port: {free_port()}}}}}\n"
    text = hosts.read_text()
    assert HOSTS in text
    hosts.write_text(text.replace(HOSTS, device))
    (made / "inventory" / "known_hosts").write_text("")
    # `thorctl lock` needs a registry and a hub; this is what it would write.
    deploy = made / "deploy"
    locking.write(lock.path_of(deploy, init.NAME), lock_for(profile.load(deploy, init.NAME)))
    return made


def call(programs: Path, cwd: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment as its user would: nothing names the checkout."""
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(programs.parent.parent),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [str(programs / program), *words]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def test_wheel_holds_each_tracked_data_file_and_no_other(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    listed = ["git", "ls-files", "deploy", "images", "playbooks/roles", "playbooks/plugins"]
    tracked = subprocess.run(listed, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.split()
    wanted = {
        f"ansible_collections/thorctl/thor/{path.removeprefix('playbooks/')}"
        if path.startswith("playbooks/")
        else f"thorctl/data/{path}"
        for path in tracked
    }
    places = (
        "thorctl/data/",
        "ansible_collections/thorctl/thor/roles/",
        "ansible_collections/thorctl/thor/plugins/",
    )
    assert {name for name in held if name.startswith(places)} == wanted
    assert "thorctl/py.typed" in held


def test_version(programs: Path, tmp_path: Path) -> None:
    assert call(programs, tmp_path, "thorctl", "--version").stdout == f"thorctl, version {__version__}\n"


def test_verb_outside_a_project_names_init(programs: Path, tmp_path: Path) -> None:
    done = call(programs, tmp_path, "thorctl", "status", "--json")
    (problem,) = json.loads(done.stdout)["errors"]
    assert (done.returncode, problem["code"]) == (2, "project_not_found")
    assert "thorctl init" in problem["remedy"]


def test_render_and_release_show_name_one_release(programs: Path, folder: Path) -> None:
    shown = json.loads(call(programs, folder, "thorctl", "release", "show", init.NAME, "--json").stdout)[
        "data"
    ]
    out = folder.parent / "preview"
    rendered = call(programs, folder, "thorctl", "render", init.NAME, "--out", str(out))
    assert rendered.returncode == 0, rendered.stderr
    assert {path.name for path in out.iterdir()} >= set(shown["files"])
    assert json.loads((out / "release.json").read_text()) == shown


def test_status_of_a_device_that_does_not_answer(programs: Path, folder: Path) -> None:
    done = call(programs, folder, "thorctl", "status", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert [error["code"] for error in said["errors"]] == ["device_unreachable"]
    assert [device["name"] for device in said["data"]["devices"]] == ["thor-01"]


def test_doctor_finds_the_collection_and_the_project(programs: Path, folder: Path) -> None:
    done = call(programs, folder, "thorctl", "doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)["data"]["checks"]}
    assert checks["collections"]["status"] == "pass"
    assert checks["Ansible"]["status"] == "pass"
    assert checks[f"profile {init.NAME}"]["status"] == "pass"
    failed = [name for name, check in checks.items() if check["status"] == "fail"]
    assert failed == ["host keys"]  # the project has none yet


@pytest.mark.parametrize("book", ["site.yml", "thorctl.thor.site", "thorctl.thor.rollback"])
def test_playbooks_parse_in_the_project(programs: Path, folder: Path, book: str) -> None:
    done = call(programs, folder, "ansible-playbook", "--syntax-check", book)
    assert done.returncode == 0, done.stderr


def test_site_renders_the_project_s_release_and_ends_at_the_silent_device(
    programs: Path, folder: Path
) -> None:
    done = call(programs, folder, "ansible-playbook", "site.yml", "-e", "ansible_ssh_retries=0")
    assert "unreachable=1" in done.stdout
    assert "ok=3" in done.stdout, done.stdout + done.stderr  # secrets, release, smoke settings


def test_verb_whose_extra_is_missing_says_so(programs: Path, folder: Path) -> None:
    done = call(programs, folder, "thorctl", "checkpoint", "repair", "x", "--out", "y", "--json")
    (problem,) = json.loads(done.stdout)["errors"]
    assert problem["code"] == "extra_missing"
    assert problem["remedy"] == "Install the extra: `pip install 'thorctl[checkpoint]'`."


def test_simulations_are_kept_with_the_user_s_state(programs: Path, folder: Path) -> None:
    program = """
from thorctl.inventory import simulations
from thorctl.sim import image_inputs
print(simulations.home(), image_inputs.tag_of("sim-origin"))
"""
    done = call(programs, folder, "python", "-c", program)
    home, tag = done.stdout.split()
    assert Path(home) == programs.parent.parent / ".local" / "state" / "thorctl" / "sim"
    assert tag.startswith("thorctl/sim-origin:")
