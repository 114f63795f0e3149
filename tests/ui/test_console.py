"""The console: no text that is printed can steer the terminal, and nothing is printed by another way."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Group
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

import thorctl
from thorctl.ui.console import Console, echo

ATTACK = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u200b[/][link=file:///]x"
OTHER_WAYS = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}
ALLOWED = {"thorctl/ui/console.py"}


def table() -> Table:
    made = Table(ATTACK, "b", title=ATTACK, caption=ATTACK)
    made.add_row(ATTACK, Text(ATTACK))
    return made


RENDERABLES = {
    "str": ATTACK,
    "text": Text(ATTACK, style="bold"),
    "table": table(),
    "tree": Tree(ATTACK),
    "syntax": Syntax(ATTACK, "diff"),
    "group": Group(ATTACK, Panel(ATTACK)),
}


@pytest.mark.parametrize("renderable", RENDERABLES.values(), ids=RENDERABLES.keys())
def test_nothing_rendered_steers_the_terminal(renderable: object) -> None:
    out = io.StringIO()
    Console(file=out, width=60, coloured=False).print(renderable)
    shown = out.getvalue().replace("\n", "")
    assert shown.isprintable(), shown
    assert "owned" in shown


def test_columns_keep_their_width() -> None:
    out = io.StringIO()
    Console(file=out, width=40, coloured=False).print(table())
    assert {cell_len(line) for line in out.getvalue().splitlines()[1:-3]} == {40}


def test_brackets_are_text_and_not_markup() -> None:
    out = io.StringIO()
    Console(file=out, width=60, coloured=False).print("[/] [red]a[/red] [link=x]y")
    assert out.getvalue() == "[/] [red]a[/red] [link=x]y\n"


def test_echo_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    echo("a\x1b[2J\nb", newline=False)
    assert capsys.readouterr().out == "a\N{REPLACEMENT CHARACTER}[2J\nb"


def test_nothing_is_printed_by_another_way() -> None:
    package = Path(thorctl.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package.parent).as_posix()
        if name in ALLOWED or name.startswith("thorctl/agent/"):  # the agent prints JSON, in ASCII
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        consoles = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "rich.console"
            for alias in node.names
            if alias.name == "Console"
        }
        calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        found += [f"{name}: {call}" for call in calls if call in OTHER_WAYS | consoles]
    assert found == []
