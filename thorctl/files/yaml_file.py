"""YAML files: plain data with the place of every key, for errors with file and line."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from thorctl.errors import ThorError
from thorctl.files.limits import read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ruamel.yaml.error import StringMark


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A parsed file: ``data`` is plain Python (dict, list, str, int, float, bool, None)."""

    path: Path
    data: Any
    root: Node | None

    def place(self, keys: Sequence[int | str]) -> str:
        """Return ``file:line`` (from 1) of the deepest part of ``keys`` that the file has."""
        node, line = self.root, 0
        for key in keys:
            step = child(node, key)
            if step is None:
                break
            node, line = step
        return f"{self.path}:{line + 1}"


def child(node: Node | None, key: int | str) -> tuple[Node, int] | None:
    """Return the node under ``key`` and the line (from 0) of its key or item; None if there is none."""
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return value, name.start_mark.line
    if isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key].start_mark.line
    return None


def read(path: Path) -> YamlFile:
    """Read one YAML 1.2 document.

    Raises:
        ThorError: ``file_unreadable``, or ``yaml_malformed`` with ``file:line:column`` and the line itself.
    """
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise malformed(path, 1, 1, f"not UTF-8 text ({error.reason} at byte {error.start})", None) from error
    except OSError as error:
        raise ThorError(
            "file_unreadable", f"{path}: {error.strerror}.", "Check that the file exists and can be read."
        ) from error
    # Not the C parser, which supports neither YAML 1.2 nor duplicate keys.
    parser = YAML(typ="safe", pure=True)
    try:
        data = parser.load(StringIO(text))
        root = YAML(typ="safe", pure=True).compose(StringIO(text))
    except MarkedYAMLError as error:
        mark: StringMark | None = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise malformed(path, line, column, str(error.problem or error.context), text) from error
    except YAMLError as error:  # for example a control character: no mark, but a position
        position = getattr(error, "position", None) or 0
        before = text[:position]
        line, column = before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1
        raise malformed(path, line, column, getattr(error, "reason", None) or str(error), text) from error
    return YamlFile(path, data, root)


def malformed(path: Path, line: int, column: int, problem: str, text: str | None) -> ThorError:
    """Return the error for a file that is not YAML, with a caret under the place."""
    lines = text.split("\n") if text else []
    snippet = ""
    if 0 < line <= len(lines):
        number = f"{line:>5} | "
        snippet = f"\n{number}{lines[line - 1]}\n{' ' * (len(number) + column - 1)}^"
    first = problem.strip().splitlines()[0]
    return ThorError(
        "yaml_malformed",
        f"{path}:{line}:{column}: {first}{snippet}",
        f"Correct the YAML near line {line} (indentation, quotes, brackets, a duplicate key).",
    )
