"""A device's events in words, and whatever else may stand in that file."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from thorctl.status.event_view import in_words

RECORDED = Path(__file__).resolve().parents[1] / "fixtures" / "agent-0.1.0" / "events.jsonl"
EVENT = {"at": "2026-11-30T07:10:50Z", "holder": "ops@desk", "verb": "activate", "what": "end"}
AT = f"{datetime.fromisoformat('2026-11-30T07:10:50Z').astimezone():%Y-%m-%d %H:%M:%S}"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"result": "done", "release": "a-1", "state": "trial"}, "activate done  a-1  trial"),
        ({"result": "done", "changed": False, "release": "a-1"}, "activate done, nothing changed  a-1"),
        ({"what": "begin", "release": "a-1"}, "activate begins  a-1"),
        ({"result": "failed", "error": "not_ready"}, "activate failed (not_ready)"),
    ],
)
def test_event_in_words(more: dict[str, object], words: str) -> None:
    assert in_words(json.dumps(EVENT | more)) == f"{AT}  {words}  by ops@desk"


def test_address_and_message_stand_at_the_end() -> None:
    more = {"result": "failed", "error": "x", "address": "192.0.2.7", "message": "the disk is full"}
    assert in_words(json.dumps(EVENT | more)).endswith("by ops@desk  from 192.0.2.7: the disk is full")


def test_each_recorded_event_is_one_line_without_json() -> None:
    lines = RECORDED.read_text().splitlines()
    assert lines
    for line in lines:
        told = in_words(line)
        assert "{" not in told
        assert json.loads(line)["verb"] in told


OTHER = ["", "null", "[1]", '{"at": 7}', '{"at": "x", "verb": "v", "what": "end"}', "tail"]


@pytest.mark.parametrize("line", OTHER)
def test_other_lines_are_shown_as_they_are(line: str) -> None:
    assert in_words(line) == line


def test_escapes_of_a_device_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in in_words(json.dumps(EVENT | {"message": "\x1b]0;owned\x07"}))


def test_a_failed_smoke_that_was_accepted_is_told_with_its_reason() -> None:
    event = {"at": "2026-11-30T10:00:00Z", "what": "begin", "verb": "commit", "holder": "ann@desk"}
    line = json.dumps({**event, "arguments": {"accept_failed_smoke": "a wrong\nprompt"}})
    assert in_words(line).endswith("by ann@desk  although its smoke failed: a wrong prompt")
    assert in_words(json.dumps({**event, "arguments": "x"})).endswith("by ann@desk")
