"""Commands in messages and remedies exist, with their options, and are the operator's where he has one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import pytest

from thorctl.cli.main import VERBS, cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
# What a command ends with, in text: its quotation mark, or the sentence's.
COMMAND = r"(?P<tick>`?)(?:cd playbooks && )?\b{name}(?P<words>(?: [^\s`;]+)+)"
# Verbs of the agent for which an operator has a verb of thorctl; the others are named as run on the device.
OPERATORS = frozenset(
    {
        *("status", "smoke", "commit", "rollback", "activate", "hold", "lease", "bench", "preflight"),
        *("chat", "logs", "drift", "review"),
    }
)
# No remedies: the data of a rollback.
ON_THE_DEVICE = frozenset({"thorctl/agent/verbs/rollback.py"})
ANSIBLE_OPTIONS = frozenset(
    {
        "--limit",
        "--tags",
        "--skip-tags",
        "--check",
        "--diff",
        "-e",
        "-i",
        "--vault-password-file",
        "--ask-become-pass",
    }
)


class Said(NamedTuple):
    """A text of the program and where it stands; placeholders are ``{}``."""

    where: str
    text: str


def _constant(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
    return None


def texts(source: str, where: str) -> Iterator[Said]:
    """All texts of a module but its docstrings."""
    tree, passed = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            passed |= {id(one) for one in ast.walk(node) if one is not node}
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(id(node.value))
    for node in ast.walk(tree):
        if id(node) not in passed and (text := _constant(node)):
            yield Said(f"{where}:{getattr(node, 'lineno', 0)}", text)


@cache
def said() -> list[Said]:
    """Every text in thorctl, the agent, the plugins, and the playbooks' messages."""
    found: list[Said] = []
    for folder in ("thorctl", "playbooks/plugins"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found += texts(path.read_text(), str(path.relative_to(ROOT)))
    for path in sorted((ROOT / "playbooks").rglob("*.yml")):
        found += [
            Said(f"{path.relative_to(ROOT)}:{number}", line)
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if not line.lstrip().startswith("#")
        ]
    return found


def commands(name: str) -> Iterator[tuple[Said, list[str], bool]]:
    """Each mention of a program: its words, cut at the end of the sentence, and whether it is quoted."""
    for one in said():
        for match in re.finditer(COMMAND.format(name=name), one.text):
            words = match["words"].split()
            if not match["tick"]:
                last = next(
                    (n for n, word in enumerate(words) if re.search(r"[.,:)\"'|]$|^[|>]", word)), None
                )
                words = words if last is None else words[: last + 1]
            yield one, [re.sub(r"[.,:)\"'|…]+$", "", word) for word in words], bool(match["tick"])


def fault_of(words: list[str], *, quoted: bool) -> str | None:
    """What is wrong with a command line of thorctl; None: nothing, or it is a sentence about thorctl."""
    here: click.Command = cli
    options = {"-h", "--help"}.union(*(one.opts for one in cli.params))
    for number, word in enumerate(words):
        if word.startswith("-"):
            continue
        if not isinstance(here, click.Group):
            break
        inner = here.get_command(click.Context(here), word)
        if inner is None:
            verb = re.fullmatch(r"[a-z]+", word)
            if number == 0:
                return f"no verb {word!r}" if quoted and verb else None
            return f"{words[number - 1]!r} has no command {word!r}" if verb else None
        here = inner
        options |= {name for one in here.params for name in (*one.opts, *one.secondary_opts)}
    unknown = [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in options]
    return f"{here.name} has no option {unknown[0]}" if unknown else None


def test_commands_of_thorctl_exist_with_their_options() -> None:
    wrong = [
        f"{one.where}: {fault}: thorctl {' '.join(words)}"
        for one, words, quoted in commands("thorctl")
        if (fault := fault_of(words, quoted=quoted or words[0] in VERBS))
    ]
    assert not wrong, "\n".join(wrong)


def test_playbooks_exist_with_their_options_and_tags() -> None:
    tags = {
        tag
        for path in (ROOT / "playbooks").rglob("*.yml")
        for line in re.findall(r"tags: \[([^\]]*)\]", path.read_text())
        for tag in re.split(r",\s*", line)
    }
    wrong = []
    for one, words, _ in commands("ansible-playbook"):
        named = [word for word in words if word.endswith(".yml") and "/" not in word]
        missing = [word for word in named if not (ROOT / "playbooks" / word).is_file()]
        odd = [word for word in words if re.match(r"--?[a-z]", word) and word not in ANSIBLE_OPTIONS]
        asked = [words[n + 1] for n, word in enumerate(words[:-1]) if word == "--tags"]
        odd += [tag for tag in asked if tag not in tags]
        if missing or odd:
            wrong.append(f"{one.where}: {', '.join(missing + odd)}: ansible-playbook {' '.join(words)}")
    assert not wrong, "\n".join(wrong)


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = [
        f"{one.where}: {words[0]}"
        for one, words, quoted in commands("make")
        if quoted and words[0] not in targets
    ]
    assert not wrong, "\n".join(wrong)


def test_no_remedy_names_a_device_s_command_where_the_operator_has_one() -> None:
    wrong = [
        f"{one.where}: thor-agent {' '.join(words)}"
        for one, words, _ in commands("thor-agent")
        if words[0] in OPERATORS and one.where.partition(":")[0] not in ON_THE_DEVICE
    ]
    assert not wrong, "\n".join(wrong)


def test_pages_that_remedies_name_exist() -> None:
    named = {(one.where, page) for one in said() for page in re.findall(r"\bdocs/[\w/-]+\.md", one.text)}
    assert named
    assert not [(where, page) for where, page in named if not (ROOT / page).is_file()]


@pytest.mark.parametrize(
    "words",
    ["stages", "hold clear thor-01", "status --rapid", "rollout begin", "lock x --via", "hold set x --force"],
)
def test_what_does_not_exist_is_found(words: str) -> None:
    expected = None if words == "lock x --via" else str
    found = fault_of(words.split(), quoted=True)
    assert found is None if expected is None else isinstance(found, str)
