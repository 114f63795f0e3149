"""Shared: a Docker engine (started if none answers), and one simulation for the whole session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import certifi
import hypothesis
import pytest

from tests.support import warm_ansible
from tests.support.documents import copy_of_deploy
from tests.support.simulated import CHECKOUT, Simulated, running
from tests.system.contract import parsers
from thorctl.checkpoint import hub_tree
from thorctl.errors import ThorError
from thorctl.inventory import devices
from thorctl.remote import docker_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

NAME = f"test-{os.getpid()}"
DEVICES = 2
# No test depends on the machine's speed.
hypothesis.settings.register_profile("thorctl", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=10)
hypothesis.settings.load_profile("thorctl")
BROKEN = "thorctl/tiny-qwable-broken"


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Programs that the tests start hear Ctrl-C and a lost terminal, also where the tests run under nohup."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def disk_is_not_waited_for() -> Iterator[None]:
    """Replace fsync: no test cuts the power of this machine, and each call costs milliseconds.

    Tests of the order of flushes and renames record ``Files.flush`` (tests/agent/core/test_files.py).
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(os, "fdatasync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one certificate authority: reading all of them takes 50 ms for each HTTP client."""
    end = "-----END CERTIFICATE-----\n"
    first, _, _ = Path(certifi.where()).read_text(encoding="utf-8").partition(end)
    bundle = tmp_path_factory.mktemp("authority") / "one.pem"
    bundle.write_text(first + end, encoding="utf-8")
    return bundle


@pytest.fixture(autouse=True)
def few_authorities(
    request: pytest.FixtureRequest, one_authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trust one authority in tests that reach nothing outside this process and its servers."""
    if not any(request.node.get_closest_marker(name) for name in ("sim", "vllm", "vm")):
        monkeypatch.setenv("SSL_CERT_FILE", str(one_authority))


@pytest.fixture(scope="session", autouse=True)
def no_terminal() -> None:
    """Output is as in a pipe: pytest-xdist and some shells export a width, as if there were a terminal."""
    os.environ.pop("COLUMNS", None)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of deploy/ in a project of its own, without locks."""
    root = tmp_path / "project"
    copy_of_deploy(root)
    return root


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No simulation, no login and no inventory of the person who runs the tests."""
    for name in ("THORCTL_INVENTORY", "THORCTL_PROJECT", "THORCTL_SIM", "HF_TOKEN", "ANSIBLE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("THORCTL_SIM_DIR", str(tmp_path / "no-simulation"))
    monkeypatch.setenv("THORCTL_STATE_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker-login"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-hub-login"))
    monkeypatch.setattr(
        devices, "subprocess", SimpleNamespace(run=warm_ansible.run, DEVNULL=subprocess.DEVNULL)
    )


@pytest.fixture(scope="session")
def docker_client() -> Iterator[DockerClient]:
    """The engine that answers; else one that ``scripts/engine`` starts here and stops afterwards."""
    script = str(CHECKOUT / "scripts" / "engine")
    started = False
    try:
        client = docker_engine.connect()
    except ThorError:
        subprocess.run([script, "start"], check=True)
        started = True
        client = docker_engine.connect()
    yield client
    client.close()
    if started:
        subprocess.run([script, "stop"], check=True)


@pytest.fixture(scope="session", autouse=True)
def ansible_servers() -> Iterator[None]:
    """End what `warm_ansible` started."""
    yield
    warm_ansible.end()


@pytest.fixture(scope="session", autouse=True)
def store_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where thorctl's store lies in this session: not with the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("store")
        patch.setenv("THORCTL_STATE_DIR", str(home))
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        yield home


@pytest.fixture(scope="session")
def vllm_0_19() -> Path:
    """A folder with the packages of vLLM 0.19.1."""
    folder = parsers.packages("0.19.1")
    assert folder
    return folder


@pytest.fixture(scope="session")
def sim_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where simulations of this session keep their state: not in the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("sim")
        patch.setenv("THORCTL_SIM_DIR", str(home))
        yield home


@pytest.fixture(scope="session")
def sim(docker_client: DockerClient, sim_home: Path) -> Iterator[Simulated]:
    """Two running devices with registry and hub mirror, shared by all tests; commands mean it by default."""
    with pytest.MonkeyPatch.context() as patch, running(docker_client, NAME, devices=DEVICES) as simulated:
        patch.setenv("THORCTL_SIM", NAME)
        yield simulated


@pytest.fixture(scope="session")
def broken_checkpoint(sim: Simulated, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Repository on the hub mirror with a checkpoint that babbles."""
    out = tmp_path_factory.mktemp("broken")
    build = CHECKOUT / "images" / "tiny-qwable" / "build.py"
    subprocess.run([sys.executable, str(build), "broken", "--out", str(out)], check=True, cwd=build.parent)
    hub_tree.publish(sim.simulation.hub_tree, BROKEN, out)
    return BROKEN
