"""The parser in the real server class of vLLM 0.19.1: each notation, whole and in pieces of any size.

That version ships no kernels for this model on a CPU; what it does with a model's words needs none.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.clients_view import View, meant, of_choice, of_chunks
from tests.engine.served_release import DEPLOY, MODEL, engine_image
from tests.engine.test_notations import NOTATIONS, TEXTS
from thorctl.sim import engine

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.vllm
HERE = Path(__file__).parent
THOUGHT = "I look at the file.\n"
TOOLS = [
    {"type": "function", "function": {"name": "Read", "parameters": {"type": "object", "properties": {}}}}
]
AT_ONCE = (1, 2, 3, 5, 1000)  # several tokens come at once with speculation, all of them never
GIVEN = {"toolu_01", "toolu_02"}
TRAINED, _ = NOTATIONS["as trained"]
SECOND = TRAINED.replace("_01", "_02")
MIXES = {
    "two calls": f"{TRAINED}\n{SECOND}",
    "text around": f"First.\n{TRAINED}\nThen.",
    "two calls, the last not closed": f"{TRAINED}\n{SECOND.removesuffix('</tool_use>')}",
    "text, then a call not closed": f"First.\n{TRAINED.removesuffix('</tool_use>')}",
    "text, then two calls, the last not closed": f"First.\n{TRAINED}\n{SECOND.removesuffix('</tool_use>')}",
    "a call, then text that looks like one": f"{TRAINED}\nThe tag is <tool_use",
}
SAID = {
    **{f"call, {name}": text for name, (text, _) in NOTATIONS.items()},
    **{f"text, {name}": text for name, text in TEXTS.items()},
    **MIXES,
}
Case = tuple[str, int, str]
CASES: list[Case] = [
    (name, at_once, reason) for name in SAID for at_once in AT_ONCE for reason in ("stop", "length")
]


def said(name: str) -> str:
    return f"{THOUGHT}</think>\n\n{SAID[name]}"


@pytest.fixture(scope="module")
def answers(docker_client: DockerClient, vllm_0_19: Path) -> dict[Case, dict[str, Any]]:
    """All of them in one container: its imports take seconds."""
    asked = [
        {"said": said(name), "at_once": at_once, "finish_reason": reason, "request": {"tools": TOOLS}}
        for name, at_once, reason in CASES
    ]
    mounts = {
        HERE: "/tests",
        vllm_0_19: "/before",
        DEPLOY / "engine": "/etc/thor-engine",
        MODEL: "/models/checkpoint",
    }
    words = ["docker", "run", "--rm", "--interactive", "--network", "none", "--entrypoint", "python3"]
    for source, target in mounts.items():
        words += ["--volume", f"{source}:{target}:ro"]
    for variable in ("HOME=/tmp", "HF_HUB_OFFLINE=1", "PYTHONPATH=/before"):
        words += ["--env", variable]
    done = subprocess.run(
        [*words, engine_image(docker_client), "/tests/answer_as_0_19.py"],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "DOCKER_HOST": engine.find()},
        text=True,
        check=True,
    )
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(
    ("name", "reason"), [(name, reason) for name in SAID for reason in ("stop", "length")]
)
def test_whole(answers: dict[Case, dict[str, Any]], name: str, reason: str) -> None:
    got = of_choice(answers[name, 1, reason]["whole"], GIVEN)
    assert got == meant(said(name), reason)


@pytest.mark.parametrize(("name", "at_once", "reason"), CASES)
def test_streamed(answers: dict[Case, dict[str, Any]], name: str, at_once: int, reason: str) -> None:
    got = of_chunks(answers[name, at_once, reason]["streamed"], GIVEN)
    wanted = meant(said(name), reason)
    if at_once > 1:
        # 0.19 itself drops the thinking that comes together with its end.
        assert wanted.reasoning.startswith(got.reasoning)
        wanted = View(wanted.content, got.reasoning, wanted.calls, wanted.finish_reason)
    assert got == wanted
