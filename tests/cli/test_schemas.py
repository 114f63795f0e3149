"""docs/reference/schemas.json is current, and what the programs print is valid against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.fixtures import earlier
from tests.support.doubles.command_line import thorctl
from tests.support.stateful_device import Device
from tests.support.trial_steps import commit_one
from thorctl.cli.schemas import schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas.json"
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text())
ANSWER = jsonschema.Draft202012Validator(DOCUMENT)


def defined(name: str) -> jsonschema.Draft202012Validator:
    """What decides about one class."""
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": DOCUMENT["$defs"]})


def test_file_is_current() -> None:
    assert FILE.read_text() == schemas(), "run: make docs"


def test_file_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)


@pytest.mark.parametrize(("recording", "name"), earlier.ANSWERS, ids=earlier.id_of)
def test_recorded_answer_is_valid(recording: earlier.Recording, name: str) -> None:
    ANSWER.validate(recording.answer(name))


def test_recorded_progress_is_valid() -> None:
    defined("Progress").validate(json.loads(earlier.LAYOUT_1.text("progress.json")))


def spoilt(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """``value`` with one part of another type, for each part; with the part's path."""
    if isinstance(value, dict):
        for key, one in value.items():
            for where, changed in spoilt(one, f"{path}.{key}"):
                yield where, {**value, key: changed}
    elif isinstance(value, list) and value:
        for where, changed in spoilt(value[0], f"{path}.0"):
            yield where, [changed, *value[1:]]
    yield path, {"of": ["another type"]} if not isinstance(value, dict) else 5


def test_answer_with_a_part_of_another_type_is_invalid() -> None:
    answer = earlier.BEFORE_CONTRACT.answer("status-soaking")
    free = {".wanted", ".found"}  # of a comparison: any value
    accepted = [
        where
        for where, changed in spoilt(answer)
        if ANSWER.is_valid(changed) and not any(where.endswith(one) or f"{one}." in where for one in free)
    ]
    assert accepted == []


def test_answers_of_this_agent_are_valid(tmp_path: Path) -> None:
    device = Device(tmp_path)
    commit_one(device, 1)
    new = device.release(2)
    words = [
        ("status",),
        ("activate", new.id, "--deadline", "900"),
        ("status",),
        ("commit",),  # refused: no smoke test
        ("review", "--seconds", "900"),
        ("rollback",),
        ("recover",),
        ("gc", "--dry-run"),
        ("lease", "take", "--ttl", "60", "--reason", "antenna"),
        ("hold", "set", "patrol"),
        ("activate", new.id),  # refused: the device holds
        ("status",),
    ]
    codes = set()
    for one in words:
        answer = json.loads(json.dumps(device.say(*one).document(one[0])))
        ANSWER.validate(answer)
        codes.add(answer["error"] and answer["error"]["code"])
    assert {None, "smoke_missing", "held"} <= codes


@pytest.mark.parametrize("words", [("render", "tiny-qwable"), ("render", "nobody"), ("render", "--nonsense")])
def test_output_of_a_command_line_is_valid(words: tuple[str, ...], tmp_path: Path) -> None:
    done = thorctl("--json", *words, *(("--out", str(tmp_path / "out")) if words[-1][0] != "-" else ()))
    envelope = json.loads(done.stdout)
    defined("Envelope").validate(envelope)
    assert envelope["exit_code"] == done.returncode
    assert not defined("Envelope").is_valid(envelope | {"exit_code": "0"})
