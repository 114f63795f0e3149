"""The judge: clean text passes, every kind of damage fails under its own name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thorctl.agent.smoke.judge import CHECKS, Generation, count_checks, judge, judge_together
from thorctl.agent.smoke.repetition import find_repetition, longest_run
from thorctl.protocol.think_tags import split_thinking

PROSE = """The capital of France is Paris. It lies on the Seine, in the north of the country, and has been the
seat of government for most of its history. Two million people live within its limits, and many more
around it."""
TABLE = """| mode | GPU | CPU |
|------|-----|-----|
| MAXN | 1575 | 2601 |
| 120W | 1386 | 2601 |
| 90W | 1530 | 2601 |
"""
CODE = """def area(width, height):
    if width < 0:
        raise ValueError("width")
    if height < 0:
        raise ValueError("height")
    return width * height


print(area(2, 3), area(((1))), [[0, 0, 0], [0, 0, 0], [0, 0, 0]])
# ------------------------------------------------------------------------------
"""
COUNT = " ".join(str(number) for number in range(1, 200))
GOOD = Generation(
    prompt_name="capital",
    prompt="What is the capital of France?",
    thinking=True,
    expect="(?i)paris",
    reasoning="The user asks for a capital.",
    answer=PROSE,
    tokens=60,
    seconds=1.0,
    finish_reason="stop",
    ended=True,
    error=None,
)
# Sentences of different words: what a working model says.
WORDS = st.lists(st.from_regex(r"[a-zäé]{2,9}", fullmatch=True), min_size=1, max_size=60, unique=True)
CLEAN = WORDS.map(" ".join)


def names(generation: Generation) -> list[str]:
    return [failed.check for failed in judge(generation)]


@pytest.mark.parametrize(
    "answer", [PROSE, TABLE, CODE, COUNT, "Paris.", "4", "¡Sí! 你好，世界。 👩‍🚀", "1000000000000", "yes"]
)
def test_clean_texts_pass(answer: str) -> None:
    assert judge(replace(GOOD, answer=answer, expect=None)) == []


@given(CLEAN)
def test_sentences_of_different_words_pass(answer: str) -> None:
    assert names(replace(GOOD, answer=answer, expect=None)) == []


@given(CLEAN, st.sampled_from("!?%&$@;,§€"), st.integers(4, 200))
def test_the_same_character_over_and_over_fails(text: str, character: str, times: int) -> None:
    assert "not_repeated" in names(replace(GOOD, answer=f"{text} {character * times}", expect=None))


@given(CLEAN, st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.integers(6, 60))
def test_the_same_word_over_and_over_fails(text: str, word: str, times: int) -> None:
    assert "not_repeated" in names(replace(GOOD, answer=f"{text}. " + f"{word} " * times, expect=None))


@given(
    CLEAN, st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=2, max_size=32), st.integers(4, 12)
)
def test_a_phrase_over_and_over_fails(text: str, phrase: list[str], times: int) -> None:
    looped = " ".join(phrase * times)
    assert "not_repeated" in names(replace(GOOD, answer=f"{text}. {looped}", expect=None))
    assert "not_repeated" in names(replace(GOOD, answer=f"{looped} {text}", expect=None))


@given(
    CLEAN,
    st.text("abcdefg你好世界", min_size=2, max_size=12).filter(lambda piece: len(set(piece)) > 1),
    st.integers(16, 40),
)
def test_pieces_without_spaces_over_and_over_fail(text: str, piece: str, times: int) -> None:
    assert "not_repeated" in names(replace(GOOD, answer=text + piece * times, expect=None))


@given(CLEAN, st.sampled_from("\x00\x07\x1b\x7f\x9b\ufffd\ue000"), st.integers(0, 300))
def test_unprintable_characters_fail(text: str, character: str, position: int) -> None:
    assert "printable" in names(
        replace(GOOD, answer=text[:position] + character + text[position:], expect=None)
    )


@given(CLEAN.filter(lambda text: "paris" not in text))
def test_a_wrong_answer_fails(answer: str) -> None:
    assert names(replace(GOOD, answer=answer)) == ["known_answer"]


@given(CLEAN, st.sampled_from(["length", "tool_calls", "abort", None]))
def test_a_truncated_answer_fails(answer: str, reason: str | None) -> None:
    assert "finished" in names(replace(GOOD, answer=answer, finish_reason=reason))


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ({"answer": ""}, "not_empty"),
        ({"answer": " \n\t"}, "not_empty"),
        ({"answer": "", "reasoning": "thinking and thinking"}, "thinking_closed"),
        ({"reasoning": ""}, "thinking_closed"),
        ({"answer": f"</think>{PROSE}"}, "thinking_closed"),
        ({"answer": f"<think>hm</think>{PROSE}"}, "thinking_closed"),
        ({"reasoning": "a <think> in it"}, "thinking_closed"),
        ({"answer": "!!!!", "expect": None}, "not_repeated"),
        ({"answer": "....", "expect": None}, "not_repeated"),
        ({"reasoning": "wait " * 30}, "not_repeated"),
        ({"answer": "The sky is so blue today.\n" * 4, "expect": None}, "not_repeated"),
        ({"tokens": None}, "usage"),
        ({"tokens": 0}, "usage"),
        ({"ended": False}, "stream_ended"),
        ({"error": "EngineCore died"}, "no_error"),
        ({"expect": "(paris"}, "known_answer"),
    ],
)
def test_each_damage_fails_under_its_name(damage: dict[str, object], check: str) -> None:
    assert check in names(replace(GOOD, **damage))  # type: ignore[arg-type]


def test_the_good_one_is_good_with_and_without_thinking() -> None:
    assert judge(GOOD) == []
    assert judge(replace(GOOD, thinking=False, reasoning="")) == []


def test_long_thinking_may_check_itself_several_times() -> None:
    steps = [
        f"Step {number} looks at {word} in turn. Let me check that again."
        for number, word in enumerate(PROSE.split())
    ]
    assert find_repetition(" ".join(steps[:12])) is None


def test_one_answer_to_every_prompt_fails() -> None:
    other = replace(GOOD, prompt_name="sum", prompt="What is 2 + 2?")
    assert [failed.check for failed in judge_together([GOOD, other])] == ["different_answers"]
    assert judge_together([GOOD, replace(other, answer="4")]) == []
    # Greedy decoding answers the same prompt the same.
    assert judge_together([GOOD, GOOD]) == []
    assert judge_together([]) == []


def test_counts_name_every_check() -> None:
    counts = count_checks([judge(GOOD), judge(replace(GOOD, tokens=None))])
    assert set(counts) == set(CHECKS)
    assert counts["usage"] == {"passed": 1, "failed": 1}
    assert counts["printable"] == {"passed": 2, "failed": 0}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("<think>\nhm\n</think>\n\nParis", ("hm", "\n\nParis")),
        ("hm</think>Paris", ("hm", "Paris")),
        ("<think>hm for ever", ("hm for ever", "")),
        ("Paris", ("", "Paris")),
        ("a</think>b</think>c", ("a", "b</think>c")),
    ],
)
def test_thinking_is_split_off_without_a_reasoning_parser(content: str, wanted: tuple[str, str]) -> None:
    assert split_thinking(content) == wanted


@given(st.text(max_size=400))
def test_any_text_is_judged_without_a_fault(answer: str) -> None:
    find_repetition(answer)
    judge(replace(GOOD, answer=answer))


def test_longest_run_counts_the_first_period() -> None:
    assert longest_run("xabababy", 2) == (1, 6)
    assert longest_run("abc", 1) == (0, 0)
    assert longest_run("aa", 1) == (0, 2)
