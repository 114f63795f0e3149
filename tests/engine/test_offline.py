"""The card's offline usage, run in the engine's image with the real model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.served_release import MODEL, ROOT, engine_image

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

pytestmark = pytest.mark.vllm
QUESTION = "What is the capital of France?"
# What the chat template makes of it.
PROMPT = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n<think>\n"


def run(docker: DockerClient, *words: str) -> str:
    mounts: dict[Path, str] = {MODEL: "/models/checkpoint", ROOT / "examples": "/checkout/examples"}
    mounts[ROOT / "deploy" / "engine"] = "/checkout/deploy/engine"
    options: dict[str, Any] = {
        "entrypoint": ["python3", "/checkout/examples/offline.py"],
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "shm_size": "1g",
        "tmpfs": {"/tmp": "rw,exec,mode=1777,size=1g"},  # noqa: S108 - the container's own
        "environment": {"HOME": "/tmp", "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"},  # noqa: S108 - too
        "volumes": {str(source): {"bind": target, "mode": "ro"} for source, target in mounts.items()},
        "remove": True,
        "stderr": False,
    }
    fitted = ["--model", "/models/checkpoint", "--max-model-len", "2048", "--eager"]
    return bytes(docker.containers.run(engine_image(docker), [*fitted, *words], **options)).decode()


def test_a_question_is_answered_as_through_the_server(docker_client: DockerClient) -> None:
    said = run(docker_client, QUESTION, "What is 6 times 7?")
    thinking, _, rest = said.partition("</think>")
    assert thinking.strip()
    assert "Paris" in rest.partition("</think>")[0]
    assert "42" in rest.rpartition("</think>")[2]


def test_a_raw_prompt_is_gone_on_from(docker_client: DockerClient) -> None:
    said = run(docker_client, "--raw", PROMPT)
    assert "Paris" in said.rpartition("</think>")[2]
