"""The agent pulls from a registry that asks for a login: a real registry, a real Docker engine."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.device_double import make_context, make_release
from thorctl.agent.core.docker_api import DockerApi, socket_from
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.release.document import parse
from thorctl.agent.staging import image
from thorctl.protocol import canonical_json
from thorctl.protocol.paths import REGISTRY_LOGIN
from thorctl.remote import docker_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from docker import DockerClient

    from tests.support.images import RegistryProcess

# user thor, password secret, as `htpasswd -B` writes it
USERS = "thor:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
LOGIN = {"username": "thor", "password": "secret"}


def one_file() -> bytes:
    """A root file system, as small as they come."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("private"), io.BytesIO())
    return out.getvalue()


@pytest.mark.sim
def test_a_private_image_is_pulled_with_the_device_s_login(
    start_registry: Callable[..., RegistryProcess], docker_client: DockerClient, tmp_path: Path
) -> None:
    users = tmp_path / "users"
    users.write_text(USERS)
    host = start_registry(f"auth: {{htpasswd: {{realm: example, path: {users}}}}}\n").host
    repository = f"{host}/thorctl/private"
    docker_client.api.import_image_from_data(one_file(), repository=repository, tag="1")
    try:
        pushed = docker_client.images.push(repository, tag="1", auth_config=LOGIN, stream=True, decode=True)
        (digest,) = [line["aux"]["Digest"] for line in pushed if "aux" in line]
    finally:
        docker_client.images.remove(f"{repository}:1", force=True)
    document = make_release().document
    document["lock"]["image"].update(repository=repository, digest=digest)
    release = parse(canonical_json.encode({**document, "id": canonical_json.release_id(document)}))
    docker = DockerApi(socket_from({"DOCKER_HOST": docker_engine.find()}, tmp_path))
    ctx = dataclasses.replace(make_context(tmp_path), docker=docker)
    file = ctx.paths.at(REGISTRY_LOGIN)
    file.parent.mkdir(parents=True, exist_ok=True)

    for logins in ({}, {host: {**LOGIN, "password": "wr0ng-one"}}):
        file.write_text(json.dumps(logins))
        with pytest.raises(AgentError) as failed:
            image.ensure(ctx, release)
        assert failed.value.code == "registry_denied"
        assert "thor_registry_logins" in failed.value.remedy
        assert "wr0ng-one" not in f"{failed.value} {failed.value.details}"
    file.write_text(json.dumps({host: LOGIN}))
    try:
        image.ensure(ctx, release)
        assert image.present(ctx, release)
    finally:
        docker_client.images.remove(release.image, force=True)
