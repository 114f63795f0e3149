"""One full stop at the end of a message, whatever another program's text ended with."""

from __future__ import annotations

import pytest

from thorctl.agent.core.outcome import AgentError
from thorctl.errors import ThorError
from thorctl.protocol.sentence import sentence
from thorctl.result import Problem

ENDS = {
    "The disk is full": "The disk is full.",
    "The disk is full.": "The disk is full.",
    "ssh: connection refused..": "ssh: connection refused.",
    "Docker does not answer: timed out.\n": "Docker does not answer: timed out.",
    "See why:": "See why.",
    'printed "x"': 'printed "x".',
    "Wait …": "Wait …",
    "Is the disk full?": "Is the disk full?",
    "exited with 1:\nline 1\nline 2": "exited with 1:\nline 1\nline 2",
    "": "",
}


@pytest.mark.parametrize("text", ENDS, ids=range(len(ENDS)))
def test_a_text_ends_with_one_full_stop(text: str) -> None:
    assert sentence(text) == ENDS[text]
    assert sentence(sentence(text)) == ENDS[text]


def test_every_error_is_punctuated_wherever_it_is_made() -> None:
    for error in (
        ThorError("c", "a: x.\n", "Do b:"),
        AgentError("c", "a: x..", "Do b"),
        Problem("c", "a: x", "Do b"),
    ):
        assert (error.message, error.remedy) == ("a: x.", "Do b.")
    assert str(ThorError("c", "a: x..", "Do b")) == "a: x."
