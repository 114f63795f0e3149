"""With which sampling prompts with thinking are asked, whatever stands in the checkpoint's file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from thorctl.agent.smoke.sampling import GREEDY, recommended

MAKER = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [1, 2]}
VALUES = {"temperature": 0.6, "top_k": 20, "top_p": 0.95}


def file(document: Any) -> bytes:
    return json.dumps(document).encode()


def test_the_makers_file_is_taken() -> None:
    found = recommended({}, {}, file(MAKER))
    assert (found.values, found.source) == (VALUES, "generation_config.json")


def test_the_profile_comes_before_the_file() -> None:
    options = {"override-generation-config": {"temperature": 0.7}}
    assert recommended({"sampling": {"temperature": 1.0, "top_k": None}}, options, file(MAKER)).values == {
        "temperature": 1.0
    }
    assert recommended({"sampling": None}, options, file(MAKER)).values == {"temperature": 0.7}


def test_min_p_is_left_out_beside_speculative_decoding() -> None:
    content = file({**MAKER, "min_p": 0.05})
    assert recommended({}, {}, content).values["min_p"] == 0.05
    assert "min_p" not in recommended({}, {"speculative-config": {"method": "mtp"}}, content).values


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"[" * 100_000,
        b"\xff\xfe",
        file([]),
        file({}),
        file({"top_p": 0.9}),
        file({**MAKER, "do_sample": False}),
        file({**MAKER, "temperature": "hot"}),
        file({**MAKER, "temperature": True}),
        file({**MAKER, "temperature": 7}),
        b'{"temperature": NaN}',
        b'{"temperature": 1e999}',
        file({**MAKER, "top_p": -1}),
        file({**MAKER, "top_k": "all"}),
    ],
)
def test_without_a_sound_recommendation_it_is_greedy_and_says_why(content: bytes | None) -> None:
    found = recommended({}, {}, content)
    assert found.values == GREEDY
    assert found.source.startswith("greedy: ")
