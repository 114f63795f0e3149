"""Tests of all Markdown pages: links, anchors, paths and `thorctl …` commands with their options exist."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path

import click
import pytest

from thorctl.cli.main import VERBS, cli

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "deploy", "images", "playbooks", "tests")
PAGES = sorted({*PROJECT.glob("*.md"), *(page for one in FOLDERS for page in (PROJECT / one).rglob("*.md"))})
LINK = re.compile(r"\]\(([^)\s]+)\)")
CALL = re.compile(r"(?<!Usage: )\bthorctl((?: [^\s`|;)]+)+)")
TYPED = re.compile(r"^\$ thorctl (.+(?<!\\))$", re.MULTILINE)
ENDS = {"#", "&&", "→", "|", ">"}


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def titles(page: Path) -> set[str]:
    """What follows ``#`` in a link to one of its titles."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        path, _, title = link.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), link
        assert not title or title in titles(there), link


PATH = re.compile(r"`((?:deploy|docs|examples|images|playbooks|scripts|tests|thorctl)/[\w./-]+?)(?:::\w+)?`")
MADE_BY_THE_READER = ("deploy/locks", "playbooks/inventory/mine")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_exist(page: Path) -> None:
    named = {path for path in PATH.findall(page.read_text()) if not path.startswith(MADE_BY_THE_READER)}
    assert [path for path in sorted(named) if not (PROJECT / path).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = PROJECT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    assert [name(page) for page in (PROJECT / "docs").rglob("*.md") if page not in {*linked, index}] == []


MERMAID = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)
RESERVED = {"call", "class", "classDef", "click", "default", "end", "graph", "href", "linkStyle", "style"}


def nodes(diagram: str) -> set[str]:
    """Ids of the nodes that have a label."""
    return set(re.findall(r"\b(\w+)\[", diagram))


def test_no_node_of_a_diagram_is_a_word_of_mermaid() -> None:
    diagrams = [diagram for page in PAGES for diagram in MERMAID.findall(page.read_text())]
    assert diagrams
    assert [nodes(diagram) & RESERVED for diagram in diagrams if nodes(diagram) & RESERVED] == []
    assert nodes('class["device class"] --> release') & RESERVED


def wrong(words: list[str]) -> str | None:
    """What of ``thorctl WORDS`` the command line does not know; None: nothing, or it is no call."""
    command: click.Command = cli
    context, options = click.Context(cli), {"-h", "--help", *options_of(cli)}
    for word in takewhile(lambda word: word not in ENDS, words):
        if word.startswith("-"):
            if word.partition("=")[0] not in options:
                return word
        elif isinstance(command, click.Group) and (found := command.get_command(context, word.strip(".,:"))):
            command = found
            options |= options_of(command)
        elif isinstance(command, click.Group) and command is not cli and word.strip(".,:").isalpha():
            return None if command.invoke_without_command else word
    return None


def options_of(command: click.Command) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name[0] == "-"}


def calls(page: Path) -> list[list[str]]:
    return [words for found in CALL.findall(page.read_text()) if (words := found.split())]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_there(page: Path) -> None:
    assert [(words, wrong(words)) for words in calls(page) if wrong(words)] == []


def typed(page: Path) -> list[list[str]]:
    """The words of each ``$ thorctl …`` that a page tells to type, up to a pipe."""
    lines = (shlex.split(line, comments=True) for line in TYPED.findall(page.read_text()))
    return [list(takewhile(lambda word: word not in ENDS, line)) for line in lines]


def refused(words: list[str]) -> str | None:
    """What click says of ``thorctl WORDS``; None: it would be called. Values are not judged."""
    command: click.Command = cli
    context: click.Context | None = None
    name: str | None = "thorctl"
    try:
        while True:
            context = command.make_context(name, words, parent=context)
            if not isinstance(command, click.Group):
                return None
            if not (words := [*context._protected_args, *context.args]):
                return None
            name, found, words = command.resolve_command(context, words)
            assert found is not None
            command = found
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        valued = isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter)
        return None if valued else error.format_message()


@pytest.mark.parametrize("page", [page for page in PAGES if TYPED.search(page.read_text())], ids=name)
def test_commands_to_type_are_whole(page: Path) -> None:
    assert [(words, refused(words)) for words in typed(page) if refused(words)] == []


def test_this_would_be_seen() -> None:
    assert "PROFILE" in str(refused(["lock"]))
    assert "--out" in str(refused(["render", "tiny-qwable"]))
    assert refused(["rollout", "start", "x", "--soak", "30"]) is None
    assert wrong(["bench", "thor-01", "--qick"]) == "--qick"
    assert wrong(["lease", "borrow", "thor-01"]) == "borrow"
    assert wrong(["-i", "hosts.yml", "lock", "tiny-qwable", "--check", "#", "--not-an-option"]) is None
    assert sum(words[0] in VERBS for page in PAGES for words in calls(page)) > 50
