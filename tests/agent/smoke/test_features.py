"""What a smoke asks beside its prompts: sampling, one second attempt, the features of the interface."""

from __future__ import annotations

import argparse
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.device_double import ANSWERS, PROMPTS, Programs, make_context, make_release, serving
from tests.support.doubles.engine import Engine
from tests.support.doubles.engine_modes import FEATURE_MODES
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.smoke import features
from thorctl.agent.staging import checkpoint
from thorctl.agent.verbs import smoke

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPTIONS = {"served-model-name": ["tiny"], "reasoning-parser": "qwen3", "tool-call-parser": "qwable"}
MAKER = json.dumps({"temperature": 0.6, "top_p": 0.95, "top_k": 20}).encode()
DISTINCT = [
    *PROMPTS,
    {"name": "sky", "ask": "What colour is the sky?", "expect": None, "thinking": True},
]


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine("tiny", answers=ANSWERS) as running:
        yield running


def smoked(
    root: Path,
    engine: Engine,
    *,
    config: bytes | None = None,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> Outcome:
    """The smoke of a release whose smoke has these changes, and this generation_config.json."""
    ctx = make_context(
        root, Programs({"systemctl": "ActiveState=active\nSubState=any\nNRestarts=0\nJob=0\n"})
    )
    files = [{"path": "model.safetensors", "size": 500, "sha256": "c" * 64}]
    if config is not None:
        locked = hashlib.sha256(config).hexdigest()
        files = [{"path": "generation_config.json", "size": len(config), "sha256": locked}, *files]
    base = make_release().document
    asked = {**base["profile"]["smoke"], **changes}
    release = make_release(
        profile={
            "serve": {**OPTIONS, "port": engine.port, **(options or {})},
            "smoke": {key: value for key, value in asked.items() if value != "absent"},
        },
        lock={"checkpoint": {**base["lock"]["checkpoint"], "files": files}},
    )
    if config is not None:
        folder = checkpoint.final_dir(ctx, release)
        folder.mkdir(parents=True)
        (folder / "generation_config.json").write_bytes(config)
    try:
        return smoke.run(serving(ctx, release), argparse.Namespace(id=None))
    except AgentError as error:
        return Outcome.of_error(error)


def results(outcome: Outcome) -> dict[str, str]:
    return {one["name"]: one["result"] for one in outcome.json["results"]}


def test_every_check_has_a_name_a_result_and_a_reason(tmp_path: Path, engine: Engine) -> None:
    outcome = smoked(tmp_path, engine)
    assert outcome.error is None, outcome.error
    found = results(outcome)
    assert {name: found[name] for name in features.NAMES} == dict.fromkeys(features.NAMES, "passed")
    assert {"known_answer", "not_repeated", "all_made", "different_answers"} <= set(found)
    assert all(one["reason"] for one in outcome.json["results"])


@pytest.mark.parametrize(
    ("mode", "check"),
    [
        ("misses_two", "known_answer"),
        ("logprobs_nan", "logprobs"),
        ("logprobs_missing", "logprobs"),
        ("logprobs_end_it", "logprobs"),
        ("schema_ignored", "structured_output"),
        ("no_calls", "tool_call"),
        ("half_call", "tool_call"),
        ("long_refused", "long_prompt"),
        ("long_cut", "long_prompt"),
        ("long_forgotten", "long_prompt_answer"),
        ("keeps_cancelled", "cancelled_stream"),
    ],
)
def test_a_feature_that_fails_is_named(tmp_path: Path, engine: Engine, mode: str, check: str) -> None:
    engine.mode = mode
    outcome = smoked(tmp_path, engine)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.details["check"]) == ("smoke_failed", check)
    assert results(outcome)[check] == "failed"
    record = json.loads((tmp_path / "var/lib/thor/smoke.json").read_text())
    assert (record["passed"], record["failed_checks"]) == (False, [check])


def test_every_feature_mode_of_the_double_is_tested() -> None:
    (marked,) = test_a_feature_that_fails_is_named.pytestmark  # type: ignore[attr-defined]
    assert {mode for mode, _ in marked.args[1]} == set(FEATURE_MODES) - {"misses_once"}


def test_an_engine_that_ended_is_asked_nothing_more(tmp_path: Path, engine: Engine) -> None:
    engine.mode = "logprobs_end_it"
    found = {one["name"]: one for one in smoked(tmp_path, engine).json["results"]}
    assert found["tool_call"]["result"] == "not_asked"
    assert "not healthy after logprobs" in found["tool_call"]["reason"]


def test_what_the_profile_excepts_is_not_asked_and_says_why(tmp_path: Path, engine: Engine) -> None:
    engine.mode = "long_forgotten"
    outcome = smoked(tmp_path, engine, not_asked={"long_prompt_answer": "too small", "logprobs": "none"})
    assert outcome.error is None, outcome.error
    found = {one["name"]: one for one in outcome.json["results"]}
    assert found["long_prompt"]["result"] == "passed"
    assert found["long_prompt_answer"]["result"] == found["logprobs"]["result"] == "not_asked"
    assert found["long_prompt_answer"]["reason"] == "the profile's reason: too small"
    assert not any(body.get("logprobs") for body in engine.requests)


def test_without_a_tool_parser_no_call_is_asked(tmp_path: Path, engine: Engine) -> None:
    found = results(smoked(tmp_path, engine, options={"tool-call-parser": None}))
    assert found["tool_call"] == "not_asked"


def test_a_release_of_an_earlier_thorctl_is_asked_its_prompts_only(tmp_path: Path, engine: Engine) -> None:
    outcome = smoked(tmp_path, engine, not_asked="absent", sampling="absent")
    assert outcome.error is None, outcome.error
    assert len(engine.requests) == 10
    assert {results(outcome)[name] for name in features.NAMES} == {"not_asked"}


def test_the_makers_sampling_is_used_for_thinking_only(tmp_path: Path, engine: Engine) -> None:
    outcome = smoked(tmp_path, engine, config=MAKER)
    asked = {body["chat_template_kwargs"]["enable_thinking"]: body for body in engine.requests[:10]}
    assert {key: asked[True][key] for key in ("temperature", "top_p", "top_k")} == json.loads(MAKER)
    assert asked[False]["temperature"] == 0
    assert "top_p" not in asked[False]
    assert outcome.json["sampling"] == {"values": json.loads(MAKER), "source": "generation_config.json"}


def test_a_file_that_is_not_as_locked_says_nothing(tmp_path: Path, engine: Engine) -> None:
    smoked(tmp_path, engine, config=MAKER)
    (path,) = tmp_path.glob("var/lib/thor/checkpoints/*/generation_config.json")
    path.write_bytes(MAKER.replace(b"0.6", b"0.1"))
    ctx = make_context(tmp_path, Programs({"systemctl": "ActiveState=active\nNRestarts=0\nJob=0\n"}))
    assert smoke.run(ctx, argparse.Namespace(id=None)).json["sampling"]["source"].startswith("greedy: ")


def test_a_single_miss_is_asked_once_more_with_another_seed(tmp_path: Path, engine: Engine) -> None:
    engine.mode = "misses_once"
    outcome = smoked(tmp_path, engine, prompts=DISTINCT)
    assert outcome.error is None, outcome.error
    assert len(outcome.json["generations"]) == 10
    first = outcome.json["asked_again"]
    assert [failed["check"] for failed in first["failed_checks"]] == ["known_answer"]
    ours = [body for body in engine.requests if body["messages"][0]["content"] == first["prompt"]]
    again = engine.requests[10]
    assert again in ours
    assert again["seed"] not in {body["seed"] for body in engine.requests[:10]}
    assert again["temperature"] > 0  # greedy decoding would give the same answer


@pytest.mark.parametrize(
    "mode", ["bangs", "babble", "control_characters", "abort", "stray_marker", "no_usage"]
)
def test_a_known_fault_is_never_asked_again(tmp_path: Path, engine: Engine, mode: str) -> None:
    """One generation of ten shows it, as a fault that begins at some request does."""
    wrong = Engine("tiny", mode=mode, answers=ANSWERS)
    original = engine.pieces

    def pieces(body: dict[str, Any]) -> Any:
        return wrong.pieces(body) if body.get("seed") == 3 else original(body)

    engine.pieces = pieces  # type: ignore[method-assign]
    outcome = smoked(tmp_path, engine, prompts=DISTINCT)
    assert outcome.error is not None
    assert outcome.json["asked_again"] is None
    assert all(body["seed"] < 1000 for body in engine.requests)


def test_all_of_it_ends_when_its_time_is_over(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.mode = "never_ends"
    monkeypatch.setattr(smoke, "SMOKE_SECONDS", 1.5)
    outcome = smoked(tmp_path, engine)
    assert outcome.error is not None
    assert len(engine.requests) == 1
    assert outcome.json["generations"][0]["failed_checks"][0]["detail"] == "not finished after 1.5 s"


def test_a_model_that_always_thinks_is_judged_by_what_follows(tmp_path: Path, engine: Engine) -> None:
    """Without a reasoning parser its thinking stands in the answer, and takes tokens."""
    original = engine.pieces

    def pieces(body: dict[str, Any]) -> Any:
        if body.get("response_format") or "Record 1 " in body["messages"][0]["content"]:
            thought = {"choices": [{"index": 0, "delta": {"content": "<think>hm</think>\n\n"}}]}
            yield thought
        yield from original(body)

    engine.pieces = pieces  # type: ignore[method-assign]
    outcome = smoked(
        tmp_path,
        engine,
        options={"reasoning-parser": None},
        prompts=[
            {**PROMPTS[1], "name": name, "ask": f"{PROMPTS[1]['ask']}{name}", "expect": None} for name in "ab"
        ],
    )
    assert outcome.error is None, outcome.error
    (schema,) = [body for body in engine.requests if body.get("response_format")]
    assert schema["max_tokens"] == 64  # the profile's, as for every prompt


@pytest.mark.parametrize("context", [512, 2048, 16384, 131072])
@pytest.mark.parametrize("chunk", [None, 2048, 8192])
def test_a_long_prompt_fits_the_context_and_takes_more_than_one_step(context: int, chunk: int | None) -> None:
    options = {"max-num-batched-tokens": chunk} if chunk else {}
    prompt = features.long_tokens(context, options)
    answer = features.long_answer_tokens(context, prompt, 2048)
    assert prompt + answer < context
    assert answer > 0
    if chunk and chunk < context / 2:
        assert prompt > chunk
