"""The smoke verb against an engine that misbehaves on demand: each time the failure names what is wrong."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.device_double import ANSWERS, PROMPTS, Programs, make_context, make_release, serving
from tests.support.doubles.engine import Engine
from tests.support.doubles.engine_modes import MODES
from tests.support.stateful_device import Images
from thorctl.agent.core.clock import Clock
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.verbs import smoke

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.agent.core.context import Context


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine("tiny", answers=ANSWERS) as running:
        yield running


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For engines that never come to an end; a busy machine may make a good one slower than this."""
    monkeypatch.setattr(smoke, "SILENCE_SECONDS", 0.6)
    monkeypatch.setattr(smoke, "TOTAL_SECONDS", 1.5)


def device(root: Path, engine: Engine, unit: str = "active", parser: str | None = "qwen3") -> Context:
    options = {"served-model-name": ["tiny"], "port": engine.port, "reasoning-parser": parser}
    systemd = Programs(
        {"systemctl": f"ActiveState={unit}\nSubState=any\nNRestarts=0\nJob=0\n", "journalctl": "log"}
    )
    ctx = replace(make_context(root, systemd), docker=Images("/nowhere"))
    return serving(ctx, make_release(profile={"serve": options}))


def run(ctx: Context, wanted: str | None = None) -> Outcome:
    try:
        return smoke.run(ctx, argparse.Namespace(id=wanted))
    except AgentError as error:
        return Outcome.of_error(error)


def test_a_right_engine_passes(tmp_path: Path, engine: Engine) -> None:
    ctx = device(tmp_path, engine)
    outcome = run(ctx)
    assert outcome.error is None, outcome.error
    assert outcome.json["passed"] is True
    names = [str(prompt["name"]) for prompt in PROMPTS]
    made = [generation["prompt_name"] for generation in outcome.json["generations"]]
    assert made == [names[number % len(names)] for number in range(10)]
    assert all(generation["failed_checks"] == [] for generation in outcome.json["generations"])
    assert outcome.json["tokens_per_second"] > 0
    record = json.loads(ctx.paths.smoke_json.read_text())
    assert (record["release"], record["passed"], record["failed_checks"]) == (
        outcome.json["release"],
        True,
        [],
    )


def test_what_is_asked_says_whether_to_think_and_has_a_seed(tmp_path: Path, engine: Engine) -> None:
    run(device(tmp_path, engine))
    asked = engine.requests[:10]
    for body in asked:
        assert body["temperature"] == 0
        assert body["max_tokens"] == 64
        assert body["model"] == "tiny"
        assert body["stream"] is True
        assert body["stream_options"] == {"include_usage": True}
    assert len({body["seed"] for body in asked}) == 10
    thinking = {body["messages"][0]["content"]: body["chat_template_kwargs"] for body in asked}
    assert thinking["What is 2 + 2?"] == {"enable_thinking": False}
    assert thinking["What is the capital of France?"] == {"enable_thinking": True}


MISBEHAVIOURS = pytest.mark.parametrize(
    ("mode", "check"),
    [
        ("http_500", "no_error"),
        ("error_in_stream", "no_error"),
        ("dies_mid_stream", "stream_ended"),
        ("fails_after", "no_error"),
        ("dies_when_two", "stream_ended"),
        ("not_json", "no_error"),
        ("no_done", "stream_ended"),
        ("no_usage", "usage"),
        ("length", "finished"),
        ("abort", "no_error"),
        ("empty", "thinking_closed"),
        ("bangs", "not_repeated"),
        ("babble", "not_repeated"),
        ("same_answer", "known_answer"),
        ("wrong_answer", "known_answer"),
        ("control_characters", "printable"),
        ("replacement_characters", "printable"),
        ("unclosed_thinking", "thinking_closed"),
        ("no_thinking", "thinking_closed"),
        ("stray_marker", "thinking_closed"),
    ],
)


@MISBEHAVIOURS
def test_a_misbehaving_engine_fails(tmp_path: Path, engine: Engine, mode: str, check: str) -> None:
    engine.mode = mode
    ctx = device(tmp_path, engine)
    outcome = run(ctx)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.exit_code) == ("smoke_failed", 1)
    assert outcome.error.details["check"] == check
    assert check in outcome.error.message
    assert "thorctl rollback DEVICE" in outcome.error.remedy
    assert outcome.json["passed"] is False
    record = json.loads(ctx.paths.smoke_json.read_text())
    assert record["passed"] is False
    assert check in record["failed_checks"]


def test_every_misbehaviour_of_the_double_is_tested() -> None:
    tested = {mode for mode, _ in MISBEHAVIOURS.args[1]}
    assert tested == set(MODES) - {"good", "slow", "silent", "never_ends", "not_ready", "wrong_model"}


def test_the_message_names_check_prompt_and_text(tmp_path: Path, engine: Engine) -> None:
    engine.mode = "bangs"
    error = run(device(tmp_path, engine)).error
    assert error is not None
    for part in ("not_repeated", "'capital'", "!!!!"):
        assert part in error.message
    assert len(error.message) < 800


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize(
    ("mode", "detail"), [("silent", "silent for 0.6 s"), ("never_ends", "not finished after 1.5 s")]
)
def test_an_engine_without_end_is_not_asked_again(
    tmp_path: Path, engine: Engine, mode: str, detail: str
) -> None:
    engine.mode = mode
    outcome = run(device(tmp_path, engine))
    assert outcome.error is not None
    assert outcome.error.details["check"] == "no_error"
    assert len(engine.requests) == 1
    record = json.loads((tmp_path / "var/lib/thor/smoke.json").read_text())
    assert "all_made" in record["failed_checks"]
    assert outcome.json["generations"][0]["failed_checks"][0]["detail"] == detail


def test_a_slow_engine_passes(tmp_path: Path, engine: Engine) -> None:
    engine.mode = "slow"
    assert run(device(tmp_path, engine)).error is None


def test_without_a_reasoning_parser_the_thinking_stands_in_the_answer(tmp_path: Path) -> None:
    answers = {prompt: f"<think>\nhm\n</think>\n\n{answer}" for prompt, answer in ANSWERS.items()}
    with Engine(
        "tiny", mode="no_thinking", answers={**answers, "Say something kind.": "<think>kind</think>Hello."}
    ) as engine:
        outcome = run(device(tmp_path, engine, parser=None))
    assert outcome.error is None, outcome.error
    assert outcome.json["generations"][0]["answer"].strip() == "It is Paris."
    assert outcome.json["generations"][0]["thinking"] == "hm"


def test_another_model_is_not_smoked(tmp_path: Path, engine: Engine) -> None:
    engine.mode = "wrong_model"
    outcome = run(device(tmp_path, engine))
    assert outcome.error is not None
    assert outcome.error.code == "engine_not_ready"
    assert "another-model" in outcome.error.message
    assert engine.requests == []


def test_an_engine_that_is_never_ready(tmp_path: Path, engine: Engine) -> None:
    engine.mode = "not_ready"
    outcome = run(device(tmp_path, engine))
    assert outcome.error is not None
    assert (outcome.error.code, outcome.exit_code) == ("engine_not_ready", 1)
    assert "60 s" in outcome.error.message
    assert not (tmp_path / "var/lib/thor/smoke.json").exists()


@pytest.mark.parametrize(("state", "code"), [("failed", "engine_died"), ("inactive", "engine_not_ready")])
def test_a_dead_engine_is_not_waited_for(tmp_path: Path, engine: Engine, state: str, code: str) -> None:
    engine.mode = "not_ready"
    ctx = device(tmp_path, engine, state)
    outcome = run(ctx)
    assert outcome.error is not None
    assert outcome.error.code == code
    assert ("systemctl start thor-engine" in outcome.error.remedy) is (state == "inactive")
    assert ctx.clock.monotonic() - Clock().monotonic() < 30


def test_the_key_of_the_device_is_sent(tmp_path: Path, engine: Engine) -> None:
    ctx = device(tmp_path, engine)
    secrets = tmp_path / "etc/thor/secrets.env"
    secrets.parent.mkdir(parents=True)
    secrets.write_text("# comment\nHF_TOKEN=x\nVLLM_API_KEY=correct-horse\n")
    assert run(ctx).error is None
    assert set(engine.keys) == {"Bearer correct-horse"}


def test_only_what_runs_can_be_smoked(tmp_path: Path, engine: Engine) -> None:
    ctx = device(tmp_path, engine)
    outcome = run(ctx, "other-000000000000")
    assert outcome.error is not None
    assert (outcome.error.code, outcome.exit_code) == ("bad_state", 2)
    empty = run(make_context(tmp_path / "empty"))
    assert empty.error is not None
    assert empty.error.code == "bad_state"
