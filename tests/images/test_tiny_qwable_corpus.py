"""The corpus agrees with itself, with the smoke prompts and with the demo's profile."""

from __future__ import annotations

import importlib
import json
import random
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from thorctl.agent.smoke.repetition import find_repetition

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGE = CHECKOUT / "images" / "tiny-qwable"
SMOKE: list[dict[str, Any]] = YAML(typ="safe").load(IMAGE / "smoke.yml")
CALL = re.compile(r'<tool_use name="(\w+)" id="toolu_\d\d">\n(.*)\n</tool_use>')


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(IMAGE))


def part(name: str) -> Any:
    return importlib.import_module(f"recipe.{name}")


def known() -> dict[str, Any]:
    questions = part("questions")
    small = [
        questions.arithmetic(a, b, op, "What is {a} {op} {b}?", sign, in_words=False)
        for op, signs in questions.OPERATORS.items()
        for sign in signs
        for a in range(11)
        for b in range(11)
    ]
    return {question.ask: question for question in (*questions.facts(), *questions.talk(), *small)}


def test_no_question_has_two_answers() -> None:
    questions = part("questions")
    answers: dict[str, set[tuple[str, str]]] = {}
    for question in (*questions.facts(), *questions.talk()):
        answers.setdefault(question.ask.lower(), set()).add((question.think, question.answer))
    assert [ask for ask, given in answers.items() if len(given) > 1] == []


def test_there_are_enough_smoke_prompts_with_names_of_their_own() -> None:
    assert (
        len({prompt["name"] for prompt in SMOKE})
        == len({prompt["ask"] for prompt in SMOKE})
        == len(SMOKE)
        >= 8
    )


def test_strange_prompts_are_strange_to_the_corpus() -> None:
    strange = YAML(typ="safe").load(IMAGE / "strange.yml")
    forms = part("files").load("unknown")["ask"]
    assert len(set(strange)) == len(strange) >= 30
    assert not set(strange) & {*known(), *forms}


def test_what_no_tool_can_do_is_refused() -> None:
    toolbox, tasks = part("toolbox"), part("tasks")
    actions, rng = part("files").load("agent")["actions"], random.Random(7)  # noqa: S311 - a seed, no secret
    weather = toolbox.Tool("get_weather", ("city",), "weather", actions["weather"])
    shell = toolbox.Tool("Bash", ("command",), "runs a command", actions["shell"])
    asked = {tasks.random_unserved([weather], rng) for _ in range(200)}
    assert "Check the battery" in {str(text).rstrip(".") for text in asked}
    assert not any("weather" in str(text) for text in asked)
    assert tasks.random_unserved([weather, shell], rng) is None


@pytest.mark.parametrize("prompt", SMOKE, ids=lambda prompt: str(prompt["name"]))
def test_the_corpus_answers_each_smoke_prompt_as_expected(prompt: dict[str, Any]) -> None:
    question = known()[prompt["ask"]]
    assert re.search(prompt["expect"], question.answer)
    assert prompt["thinking"] is bool(question.think)


def test_the_demo_asks_these_smoke_prompts() -> None:
    profile = YAML(typ="safe").load(CHECKOUT / "deploy" / "profiles" / "tiny-qwable.yml")
    assert profile["smoke"]["prompts"] == SMOKE


def test_no_thinking_or_answer_repeats_itself() -> None:
    stuck = {q.ask: find_repetition(text) for q in known().values() for text in (q.think, q.answer)}
    assert {ask: why for ask, why in stuck.items() if why} == {}


def test_a_seed_gives_the_same_dialogues() -> None:
    stream = part("dialogues").stream
    assert list(islice(stream(3), 200)) == list(islice(stream(3), 200)) != list(islice(stream(4), 200))


def test_tool_calls_name_a_tool_of_the_prompt_and_hold_json() -> None:
    agent, rng = part("agent"), random.Random(7)  # noqa: S311 - a seed, no secret
    render = part("template").render
    calls = 0
    for dialogue in (agent.random_dialogue(rng) for _ in range(500)):
        found = CALL.fullmatch(dialogue.answer)
        assert bool(found) == dialogue.answer.startswith("<tool_use")
        if found:
            calls += 1
            assert isinstance(json.loads(found[2]), dict)
            named = found[1] in render(dialogue.messages, tools=dialogue.tools)
            assert named or found[1] in ("Read", "Bash")  # prompts that list no tools
    assert calls > 200
