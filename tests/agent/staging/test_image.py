"""Docker's answers to a pull: bytes while it goes on, the right error when it does not."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.device_double import make_context, make_release
from thorctl.agent.core.docker_api import DockerApi, socket_from
from thorctl.agent.core.files import Files
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.staging import image
from thorctl.agent.staging.pull_progress import PullProgress
from thorctl.remote import docker_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient


class Engine(DockerApi):
    """Has no image until a pull's messages ended without an error."""

    def __init__(self, messages: list[dict[str, Any]], *, delivers: bool = True) -> None:
        super().__init__("/nowhere")
        self.messages, self.delivers, self.pulled = messages, delivers, False
        self.calls: list[str] = []

    def image(self, reference: str) -> dict[str, Any] | None:
        return {"RepoDigests": [reference]} if self.pulled and self.delivers else None

    def pull(self, *_: Any) -> Iterator[dict[str, Any]]:
        self.calls.append("pull")
        yield from self.messages
        self.pulled = True

    def wait(self) -> None:
        self.calls.append("wait")

    def tag_image(self, reference: str, repository: str, tag: str) -> bool:
        self.calls.append(f"tag {repository}:{tag}")
        return self.image(reference) is not None

    def delete_image(self, reference: str) -> bool:
        self.calls.append(f"delete {reference}")
        was, self.pulled = self.pulled, False
        return was


PULL: list[dict[str, Any]] = [
    {"status": "Pulling from thorctl/engine", "id": "sha256:aa"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "one"},
    {"status": "Downloading", "progressDetail": {"current": 100, "total": 400}, "id": "one"},
    {"status": "Downloading", "progressDetail": {"current": 600, "total": 600}, "id": "two"},
    {"status": "Downloading", "progressDetail": {"current": 300, "total": 400}, "id": "one"},
    {"status": "Verifying Checksum", "progressDetail": {}, "id": "one"},
    {"status": "Extracting", "progressDetail": {"current": 9, "total": 400}, "id": "one"},
    {"status": "Pull complete", "progressDetail": {}, "id": "one"},
    {"status": "Already exists", "progressDetail": {}, "id": "three"},
    {"status": "Digest: sha256:aa"},
]


def test_bytes_of_a_pull() -> None:
    progress = PullProgress(900)
    seen = []
    for message in PULL:
        progress.feed(message)
        seen.append(progress.done_bytes)
    assert seen == [0, 0, 100, 700, 900, 1000, 1000, 1000, 1000, 1000]
    assert progress.total_bytes == 1000


def test_pull(tmp_path: Path) -> None:
    ctx = dataclasses.replace(make_context(tmp_path), docker=Engine(PULL))
    assert image.ensure(ctx, make_release()) == 1000
    assert image.ensure(ctx, make_release()) == 0


TAG = f"registry.test/engine:thor-{'a' * 12}"
DELETE = [f"delete {TAG}", f"delete registry.test/engine@sha256:{'a' * 64}"]


def test_an_image_has_a_tag_so_that_docker_does_not_take_it_for_rubbish(tmp_path: Path) -> None:
    docker = Engine(PULL)
    ctx = dataclasses.replace(make_context(tmp_path), docker=docker)
    image.ensure(ctx, make_release())
    assert docker.calls == ["pull", f"tag {TAG}"]
    docker.calls.clear()
    image.ensure(ctx, make_release())  # also one that was here before
    assert docker.calls == [f"tag {TAG}"]


def test_a_pull_is_noted_until_the_disk_has_all_of_it(tmp_path: Path) -> None:
    docker, events = Engine(PULL), []

    class Noting(Files):
        def sync_all(self) -> None:
            events.append((docker.pulled, self.noted()))

        def noted(self) -> bool:
            return (tmp_path / "var/lib/thor/pulling.json").exists()

    ctx = dataclasses.replace(make_context(tmp_path), docker=docker, files=Noting())
    image.ensure(ctx, make_release())
    assert events == [(True, True)]
    assert not Noting().noted()


@pytest.mark.parametrize("there", [True, False])
def test_layers_of_a_pull_that_the_power_ended_are_fetched_anew(tmp_path: Path, there: bool) -> None:
    docker = Engine([*PULL[:3], {"error": "unexpected EOF"}])
    ctx = dataclasses.replace(make_context(tmp_path), docker=docker)
    with pytest.raises(AgentError):
        image.ensure(ctx, make_release())
    docker.messages, docker.pulled = PULL, there
    (ctx.paths.run_dir / "boot").unlink()  # all that /run holds is gone after a power cut
    docker.calls.clear()
    image.ensure(ctx, make_release())
    # What Docker has of an image that is not there is deleted only with the image: so it is made whole first.
    assert docker.calls == [*([] if there else ["pull"]), *DELETE, "pull", f"tag {TAG}"]
    assert not ctx.paths.pulling.exists()


def test_layers_of_a_pull_that_broke_in_this_boot_are_good(tmp_path: Path) -> None:
    docker = Engine([*PULL[:3], {"error": "unexpected EOF"}])
    ctx = dataclasses.replace(make_context(tmp_path), docker=docker)
    with pytest.raises(AgentError):
        image.ensure(ctx, make_release())
    docker.messages = PULL
    docker.calls.clear()
    image.ensure(ctx, make_release())
    assert docker.calls == ["pull", f"tag {TAG}"]


def test_a_pull_that_simply_stops_is_none_of_the_registry_s_doing(tmp_path: Path) -> None:
    cut = Engine(PULL[:5], delivers=False)
    with pytest.raises(AgentError) as caught:
        image.ensure(dataclasses.replace(make_context(tmp_path), docker=cut), make_release())
    assert caught.value.code == "image_pull_failed"


# The words are those of Docker 20.10 (overlay2) and 29 (containerd store).
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("manifest for r/e@sha256:aa not found: manifest unknown: manifest unknown", "image_not_found"),
        ("name unknown: repository name not known to registry", "image_not_found"),
        ('failed to resolve reference "r/e@sha256:aa": r/e@sha256:aa: not found', "image_not_found"),
        ("Get http://r:5000/v2/: dial tcp: lookup r: no such host", "image_pull_failed"),
        ("Get http://r:5000/v2/: dial tcp 10.0.0.1:5000: connect: connection refused", "image_pull_failed"),
        ("pull access denied for r/e, repository does not exist or may require login", "registry_denied"),
        ("Get https://r/v2/: unauthorized: authentication required", "registry_denied"),
        (
            "failed to fetch anonymous token: unexpected status: 429 Too Many",
            "registry_limited",
        ),
        ("toomanyrequests: You have reached your pull rate limit.", "registry_limited"),
        ("failed to fetch oauth token: unexpected status: 503 Service Unavailable", "registry_unavailable"),
        ("received unexpected HTTP status: 502 Bad Gateway", "registry_unavailable"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown", "registry_untrusted"),
        ("x509: certificate has expired or is not yet valid: current time 1970", "registry_clock"),
        ("proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused", "registry_proxy_failed"),
        ("unexpected EOF", "image_pull_failed"),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk_too_small"),
    ],
)
def test_a_pull_that_fails(tmp_path: Path, words: str, code: str) -> None:
    ctx = dataclasses.replace(make_context(tmp_path), docker=Engine([*PULL[:3], {"error": words}]))
    with pytest.raises(AgentError) as failed:
        image.ensure(ctx, make_release())
    assert failed.value.code == code
    assert failed.value.details["docker"] == words


def test_something_else_was_pulled(tmp_path: Path) -> None:
    ctx = dataclasses.replace(make_context(tmp_path), docker=Engine(PULL, delivers=False))
    with pytest.raises(AgentError) as failed:
        image.ensure(ctx, make_release())
    assert failed.value.code == "image_digest_mismatch"


def test_no_docker(tmp_path: Path) -> None:
    with pytest.raises(AgentError) as failed:
        image.present(make_context(tmp_path), make_release())
    assert failed.value.code == "docker_unavailable"
    assert "systemctl start docker" in failed.value.remedy


def test_the_socket(tmp_path: Path) -> None:
    assert socket_from({"DOCKER_HOST": "unix:///x.sock"}, tmp_path) == "/x.sock"
    assert socket_from({}, tmp_path) == str(tmp_path / "var/run/docker.sock")


@pytest.mark.sim
def test_a_real_engine_has_no_such_image(docker_client: DockerClient, tmp_path: Path) -> None:
    assert docker_client.ping()
    docker = DockerApi(socket_from({"DOCKER_HOST": docker_engine.find()}, tmp_path))
    ctx = dataclasses.replace(make_context(tmp_path), docker=docker)
    assert ctx.docker.info()["DockerRootDir"]
    assert not image.present(ctx, make_release())
    with pytest.raises(AgentError) as failed:
        image.ensure(ctx, make_release())
    assert failed.value.code == "image_pull_failed"  # registry.test is nobody
