"""``host[:port]/repository:tag``."""

from __future__ import annotations

import pytest

from thorctl.registry.client import default_address
from thorctl.release.image_reference import ImageReference, same_image

GOOD = {
    "ghcr.io/nvidia-ai-iot/vllm:latest-jetson-thor": ("ghcr.io", "nvidia-ai-iot/vllm", "latest-jetson-thor"),
    "registry.thorctl.test:5000/thorctl/cpu-vllm:0.32.0": (
        "registry.thorctl.test:5000",
        "thorctl/cpu-vllm",
        "0.32.0",
    ),
    "localhost/a:1": ("localhost", "a", "1"),
    "docker.io/vllm/vllm-openai:v0.19.0": ("docker.io", "vllm/vllm-openai", "v0.19.0"),
    "10.0.0.5:5000/a/b__c:x_y": ("10.0.0.5:5000", "a/b__c", "x_y"),
}
BAD = [
    "vllm",
    "vllm/vllm-openai:v1",
    "ghcr.io/a",
    "ghcr.io/A:1",
    "ghcr.io/a:",
    "ghcr.io/a:1 2",
    "ghcr.io//a:1",
]
BAD += [
    "GHCR.io/a:1",  # another registry for Docker
    "index.Docker.io/a/b:1",
    "localhost:5000/a",
    "library/ubuntu:24.04",
    "ghcr.io/a:1\n",
    "https://ghcr.io/a:1",
    "ghcr.io/a@sha256:" + "0" * 64,
    "ghcr.io/a:1@sha256:" + "0" * 64,
]


@pytest.mark.parametrize(("text", "parts"), GOOD.items())
def test_good(text: str, parts: tuple[str, str, str]) -> None:
    parsed = ImageReference.parse(text)
    assert (parsed.host, parsed.path, parsed.tag) == parts
    assert text == f"{parsed.repository}:{parsed.tag}"


@pytest.mark.parametrize("text", BAD)
def test_bad(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        ImageReference.parse(text)


DIGEST = "sha256:" + "a" * 64
# As github.com/distribution/reference normalizes them (normalize_test.go there).
NORMALIZED = {
    "ubuntu": "docker.io/library/ubuntu:latest",
    "ubuntu:24.04": "docker.io/library/ubuntu:24.04",
    "docker.io/ubuntu:24.04": "docker.io/library/ubuntu:24.04",
    "index.docker.io/ubuntu:24.04": "docker.io/library/ubuntu:24.04",
    "index.docker.io/library/ubuntu:24.04": "docker.io/library/ubuntu:24.04",
    "vllm/vllm-openai:v0.19.0": "docker.io/vllm/vllm-openai:v0.19.0",
    "docker.io/vllm/vllm-openai": "docker.io/vllm/vllm-openai:latest",
    f"vllm/vllm-openai@{DIGEST}": f"docker.io/vllm/vllm-openai@{DIGEST}",
    f"vllm/vllm-openai:v1@{DIGEST}": f"docker.io/vllm/vllm-openai@{DIGEST}",
    "localhost/a": "localhost/a:latest",
    "localhost:5000/a:1": "localhost:5000/a:1",
    "localhost:5000": "docker.io/library/localhost:5000",  # no slash: a tag
    "ghcr.io:443/a:1": "ghcr.io:443/a:1",
    "[::1]:5000/a:1": "[::1]:5000/a:1",
    "GHCR/a": "GHCR/a:latest",  # upper case makes a host of it
    "GHCR.io/a": "GHCR.io/a:latest",
}
REFUSED = ["", "a" * 64, "docker.io/A:1", "a//b", "-a/b", "ghcr.io/", "a:" + "t" * 129, "a@sha256:abc"]
REFUSED += ["ghcr.io/" + "a" * 256, "ghcr.io/a\x1b[2J:1", "ghcr.io/a:1\n", "docker.io@evil/a", "ghcr.io:x/a"]


@pytest.mark.parametrize(("text", "whole"), NORMALIZED.items())
def test_a_reference_is_completed_as_docker_does(text: str, whole: str) -> None:
    assert str(ImageReference.normalized(text)) == whole
    assert str(ImageReference.normalized(whole)) == whole
    assert same_image(text, whole)


@pytest.mark.parametrize("text", REFUSED)
def test_what_docker_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        ImageReference.normalized(text)


@pytest.mark.parametrize(
    "other",
    ["attacker.example/ubuntu:1", "docker.io/ubuntu:2", f"docker.io/ubuntu:1@{DIGEST}", "Docker.io/ubuntu:1"],
)
def test_another_image_is_not_the_same(other: str) -> None:
    assert not same_image("docker.io/ubuntu:1", other)


def test_registries_are_asked_over_tls_except_on_this_machine() -> None:
    assert default_address("ghcr.io") == "https://ghcr.io"
    assert default_address("docker.io") == "https://registry-1.docker.io"
    assert default_address("127.0.0.1:5000") == "http://127.0.0.1:5000"
    assert default_address("localhost.evil.example") == "https://localhost.evil.example"
