"""Broken YAML is named by file, line and column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thorctl.errors import ThorError
from thorctl.files import yaml_file

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = {
    "an open bracket": ("a: 1\nb: [1, 2\nc: 3\n", "3:2"),
    "a tab": ("a:\n\tb: 1\n", "2:1"),
    "a key twice": ("a: 1\nb: 2\na: 3\n", "3:1"),
    "a nested key twice": ("a:\n  b: 1\n  b: 2\n", "3:3"),
    "two values": ("a: 1: 2\n", "1:5"),
    "wrong indentation": ("a: 1\n  b: 2\n", "2:4"),
    "an unknown tag": ("a: !!python/object:os.system x\n", "1:4"),
    "two documents": ("a: 1\n---\nb: 2\n", "2:1"),
    "a control character": ("a: 1\nb: \x07\n", "2:4"),
    "an open quote": ('a: "x\n', "2:1"),
    "an undefined alias": ("a: *nobody\n", "1:4"),
}


@pytest.mark.parametrize(("text", "place"), BROKEN.values(), ids=BROKEN.keys())
def test_the_place_is_named(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "broken.yml"
    path.write_text(text)
    with pytest.raises(ThorError) as caught:
        yaml_file.read(path)
    assert caught.value.code == "yaml_malformed"
    assert caught.value.message.startswith(f"{path}:{place}: ")


def test_a_caret_stands_under_the_spot(tmp_path: Path) -> None:
    path = tmp_path / "broken.yml"
    path.write_text("a: 1\nport: 1: 2\n")
    with pytest.raises(ThorError) as caught:
        yaml_file.read(path)
    assert caught.value.message.splitlines()[1:] == ["    2 | port: 1: 2", "               ^"]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.yml"
    path.write_bytes(b"a: \xe4\n")
    with pytest.raises(ThorError, match=r"not UTF-8 text .* at byte 3") as caught:
        yaml_file.read(path)
    assert caught.value.code == "yaml_malformed"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ThorError) as caught:
        yaml_file.read(tmp_path / "none.yml")
    assert caught.value.code == "file_unreadable"


def test_the_place_of_a_key(tmp_path: Path) -> None:
    path = tmp_path / "good.yml"
    path.write_text("a: 1\nb:\n  - x\n  - {c: 1,\n     d: 2}\n")
    file = yaml_file.read(path)
    assert file.data == {"a": 1, "b": ["x", {"c": 1, "d": 2}]}
    assert file.place(["b", 1, "d"]) == f"{path}:5"
    assert file.place(["b", 1, "absent"]) == f"{path}:4"
    assert file.place([]) == f"{path}:1"
