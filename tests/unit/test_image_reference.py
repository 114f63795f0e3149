"""``host[:port]/repository:tag``."""

from __future__ import annotations

import pytest

from thorctl.image_reference import ImageReference
from thorctl.sources.registry import default_address

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


def test_registries_are_asked_over_tls_except_on_this_machine() -> None:
    assert default_address("ghcr.io") == "https://ghcr.io"
    assert default_address("docker.io") == "https://registry-1.docker.io"
    assert default_address("127.0.0.1:5000") == "http://127.0.0.1:5000"
    assert default_address("localhost.evil.example") == "https://localhost.evil.example"
