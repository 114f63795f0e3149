"""`thorctl lock` where one has to log in: real registry, real nginx, TLS; and whom the secrets reach."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugins.upstreams import wait_for
from tests.support import private_upstreams as private
from tests.support.hub_files import HubFiles
from thorctl.registry.credentials import keeps_secrets
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.images import RegistryProcess

REGISTRY = "registry.thorctl.test:5000"
HUB = "hub.thorctl.test"
TOKEN = "hf_TheTokenOfThisTest0123456789"
THORCTL = Path(sys.executable).parent / "thorctl"
FILES = {"config.json": b"{}", "model.safetensors": b"\x01" * 999}


@dataclass
class Private:
    """Both upstreams, and what a person has who may read them."""

    project: Path
    folder: Path
    ports: private.Ports
    behind: str
    environment: dict[str, str]

    @property
    def lock(self) -> Path:
        return self.project / "deploy" / "locks" / "tiny-qwable.lock.json"

    @property
    def told(self) -> str:
        """What the store was asked for, and with which Authorization."""
        return (self.folder / "told.log").read_text()

    def thorctl(
        self, *words: str, registry: str | None = None, hub: str | None = None, **environment: str | None
    ) -> dict[str, Any]:
        """``thorctl lock``; its envelope. Nothing that it says on any stream holds a secret."""
        via = {
            REGISTRY: registry or f"https://localhost:{self.ports.registry}",
            HUB: hub or f"https://localhost:{self.ports.hub}",
        }
        pairs = [word for name, url in via.items() for word in ("--via", f"{name}={url}")]
        command = ["lock", "tiny-qwable", "--platform", "linux/amd64", *pairs, *words]
        given = {**os.environ, **self.environment, **environment}
        done = subprocess.run(
            [str(THORCTL), "--project", str(self.project), *command, "--json"],
            env={key: value for key, value in given.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert TOKEN not in said
        assert private.PASSWORD not in said
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def error(self, *words: str, **keys: Any) -> tuple[str, str]:
        """Code and remedy of a lock that has to fail; no lock is made."""
        before = self.lock.read_bytes() if self.lock.exists() else None
        answer = self.thorctl(*words, **keys)
        assert answer["exit_code"] == 1
        assert (self.lock.read_bytes() if self.lock.exists() else None) == before
        (error,) = answer["errors"]
        return str(error["code"]), f"{error['message']} {error['remedy']}"


@pytest.fixture
def upstreams(
    project: Path, tmp_path: Path, start_registry: Callable[..., RegistryProcess]
) -> Iterator[Private]:
    users = tmp_path / "users"
    users.write_text(private.USERS)
    # Pushed to one that asks nobody; the one behind nginx finds it on its disk.
    filled = start_registry()
    filled.image("thorctl/cpu-vllm", "0.32.0", "amd64")
    registry = start_registry(f"auth: {{htpasswd: {{realm: example, path: {users}}}}}\n")
    shutil.copytree(filled.data, registry.data)
    private.publish_blobs(tmp_path, "thorctl/cpu-vllm", filled.data)
    ports = private.Ports(free_port(), free_port(), free_port())
    HubFiles("", tmp_path / "hub").add("thorctl/tiny-qwable", "main", FILES, large=("model.safetensors",))
    config = private.configure(tmp_path, ports, token=TOKEN, behind=registry.url)
    log = tmp_path / "nginx.log"
    words = ["nginx", "-p", str(tmp_path), "-c", str(config), "-e", str(log)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(f"http://127.0.0.1:{ports.store}/", process, log)
    environment = {
        "SSL_CERT_FILE": str(tmp_path / "ca.crt"),
        "HF_TOKEN": TOKEN,
        "HF_DEBUG": "1",  # as loud as the library can be
        "DOCKER_CONFIG": str(private.login(tmp_path / "login", REGISTRY, "thor", private.PASSWORD)),
    }
    yield Private(project, tmp_path, ports, registry.url, environment)
    process.terminate()
    process.wait(20)


def test_with_login_and_token_it_locks(upstreams: Private) -> None:
    answer = upstreams.thorctl()
    assert (answer["exit_code"], answer["data"]["written"]) == (0, True), answer
    assert upstreams.thorctl("--check")["exit_code"] == 0
    written = upstreams.lock.read_text()
    assert TOKEN not in written
    assert private.PASSWORD not in written


HELPER = """#!/bin/sh
# What Docker runs: the registry's name on standard input, one object on standard output.
[ "$1" = get ] && grep -qx "{registry}" && echo '{{"Username": "{user}", "Secret": "{secret}"}}'
"""


def helper(folder: Path, user: str, secret: str) -> dict[str, str]:
    """A credential helper, as Docker Desktop has one, and the configuration that names it."""
    folder.mkdir()
    program = folder / "docker-credential-test"
    program.write_text(HELPER.format(registry=REGISTRY, user=user, secret=secret))
    program.chmod(0o755)
    (folder / "config.json").write_text(json.dumps({"credsStore": "test"}))
    return {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_credential_helper_is_asked(upstreams: Private) -> None:
    given = helper(upstreams.folder / "helper", "thor", private.PASSWORD)
    assert upstreams.thorctl(**given)["exit_code"] == 0


def test_an_identity_token_is_named_as_what_it_is(upstreams: Private) -> None:
    code, text = upstreams.error(**helper(upstreams.folder / "helper", "<token>", TOKEN))
    assert code == "docker_login_unusable"
    assert "docker login --username" in text


def test_the_login_of_hf_is_used(upstreams: Private) -> None:
    home = upstreams.folder / "hf-home"
    home.mkdir()
    (home / "token").write_text(TOKEN)
    assert upstreams.thorctl(HF_TOKEN=None, HF_HOME=str(home))["exit_code"] == 0


def test_neither_follows_a_redirect_to_another_host(upstreams: Private) -> None:
    assert upstreams.thorctl()["exit_code"] == 0
    asked = [line for line in upstreams.told.splitlines() if "/hub/" in line or "/registry/" in line]
    assert any("/hub/" in line for line in asked)
    assert any("/registry/" in line for line in asked)
    assert {line.partition(" ")[2] for line in asked} == {"authorization=-"}


def test_they_are_in_no_argument_and_in_no_file_that_is_left(upstreams: Private) -> None:
    assert upstreams.thorctl(HF_HOME=str(upstreams.folder / "hf"))["exit_code"] == 0
    login = upstreams.folder / "login" / "config.json"
    for path in upstreams.folder.rglob("*"):
        if path.is_file() and path not in (login, upstreams.folder / "nginx.conf"):
            assert TOKEN.encode() not in path.read_bytes(), path
            assert private.PASSWORD.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_without_its_token_the_hub_s_remedy_is_named(upstreams: Private, token: str | None) -> None:
    code, text = upstreams.error(HF_TOKEN=token)
    assert code == "hub_denied"
    assert "hf auth login" in text
    assert HUB in text


def test_without_its_login_the_registry_s_remedy_is_named(upstreams: Private) -> None:
    for folder in (
        upstreams.folder / "none",
        private.login(upstreams.folder / "wrong", REGISTRY, "thor", "x"),
    ):
        code, text = upstreams.error(DOCKER_CONFIG=str(folder))
        assert code == "registry_denied"
        assert f"docker login {REGISTRY}" in text


def test_a_login_for_another_registry_is_not_used(upstreams: Private) -> None:
    other = private.login(upstreams.folder / "other", "ghcr.io", "thor", private.PASSWORD)
    assert upstreams.error(DOCKER_CONFIG=str(other))[0] == "registry_denied"


def test_an_authority_nobody_vouches_for(upstreams: Private) -> None:
    code, text = upstreams.error(SSL_CERT_FILE=None)
    assert code == "registry_untrusted"
    assert "SSL_CERT_FILE=FILE" in text
    open_registry = upstreams.behind  # plain, on this machine: no certificate to doubt
    code, text = upstreams.error(SSL_CERT_FILE=None, registry=open_registry)
    assert code == "hub_untrusted"
    assert "SSL_CERT_FILE=FILE" in text


@pytest.mark.parametrize(("name", "code"), [(REGISTRY, "registry_unreachable"), (HUB, "hub_unreachable")])
def test_without_a_network_a_lock_that_is_there_stays(upstreams: Private, name: str, code: str) -> None:
    assert upstreams.thorctl()["exit_code"] == 0
    where = {"registry": "https://127.0.0.1:9"} if name == REGISTRY else {"hub": "https://127.0.0.1:9"}
    for words in ((), ("--check",), ("--dry-run",)):
        found, text = upstreams.error(*words, **where)
        assert found == code
        assert name in text
        assert "No lock was written or changed." in text


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://ghcr.io", True),
        ("http://localhost:5000/token", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:5000", True),
        ("http://registry.lab:5000", False),
        ("http://127.0.0.1.lab", False),
        ("http://localhost@registry.lab", False),
        ("ftp://localhost", False),
        ("", False),
    ],
)
def test_where_a_secret_may_go(url: str, safe: bool) -> None:
    assert keeps_secrets(url) is safe
