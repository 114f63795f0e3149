"""Every place in the source where an error, a failed check or a remedy is written, with its texts.

A text is what the program would print, with ``{}`` for each value. A name is followed to what is assigned to
it in the same function or module; what comes from elsewhere is ``{}`` as a whole.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("thorctl", "playbooks/plugins")
VALUE = "{}"
# Class -> positions of code, message and remedy among the arguments. A check's name is its code.
ERRORS = {
    "ThorError": (0, 1, 2),
    "AgentError": (0, 1, 2),
    "Problem": (0, 1, 2),
    "FetchError": (0, None, None),
}
CHECKS = {"Item": (0, 4, 5), "Check": (1, None, 4)}
CHECK_FOLDERS = ("thorctl/agent/checks/", "thorctl/doctor/", "thorctl/cli/doctor.py")
# Module -> its table of errors, and the positions of code, message and remedy in a row: -1 is the row's key.
TABLES: dict[str, tuple[str, tuple[int, int | None, int]]] = {
    "thorctl/agent/staging/fetcher.py": ("_MEANING", (-1, None, 1)),
    "thorctl/agent/staging/image.py": ("_CAUSES", (1, None, 3)),
    "thorctl/agent/engine/failure.py": ("_REMEDIES", (0, None, -1)),
}
MOST_VARIANTS = 64
# Kinds of sites with a code.
CODE_KINDS = frozenset({"ThorError", "AgentError", "Problem", "_MEANING", "_CAUSES"})
# Module -> what its codes begin with, where they are put together.
PREFIXES = {
    "thorctl/registry/failures.py": ("hub", "registry"),
    "thorctl/files/limits.py": ("hub", "registry"),
    "thorctl/files/schema.py": ("device_class", "policy", "profile"),
}
OTHER_CODES = "thorctl/edge/routes.py"  # of the edge's answers to clients, in the words of OpenAI's API
CODE = re.compile(r"[a-z]+(?:_[a-z]+)*")


@dataclass(frozen=True)
class Site:
    """One place; each text may have several forms."""

    where: str
    kind: str
    codes: tuple[str, ...]
    messages: tuple[str, ...]
    remedies: tuple[str, ...]


class _Module:
    """Follows names within one module."""

    def __init__(self, tree: ast.Module, elsewhere: Mapping[str, Sequence[ast.expr]]) -> None:
        self.tree, self.elsewhere = tree, elsewhere
        self.globals = self._assigned(tree.body)
        self.owner: dict[int, ast.FunctionDef] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for inner in ast.walk(node):
                    self.owner[id(inner)] = node  # type: ignore[assignment]  # narrowed by isinstance to two kinds

    def texts(self, node: ast.expr | None, at: ast.AST, depth: int = 0) -> tuple[str, ...]:
        """All forms of an expression."""
        if node is None or depth > 6:
            return (VALUE,)
        return tuple(dict.fromkeys(self._texts(node, at, depth)))[:MOST_VARIANTS]

    def _texts(self, node: ast.expr, at: ast.AST, depth: int) -> Sequence[str]:  # noqa: PLR0911 - a node each
        deeper = depth + 1
        if isinstance(node, ast.Constant):
            return (node.value,) if isinstance(node.value, str) else (VALUE,)
        if isinstance(node, ast.JoinedStr):
            parts = [self._part(one, at, deeper) for one in node.values]
            return ["".join(words) for words in _combined(parts)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            sides = [self.texts(node.left, at, deeper), self.texts(node.right, at, deeper)]
            return ["".join(words) for words in _combined(sides)]
        if isinstance(node, ast.IfExp):
            return [*self.texts(node.body, at, deeper), *self.texts(node.orelse, at, deeper)]
        if isinstance(node, ast.BoolOp):
            return [text for one in node.values for text in self.texts(one, at, deeper)]
        if isinstance(node, ast.Attribute) and node.attr.isupper():
            return [text for one in self.elsewhere.get(node.attr, []) for text in self.texts(one, at, deeper)]
        if isinstance(node, ast.Name):
            found = self._values(node.id, at)
            return [text for one in found for text in self.texts(one, at, deeper)] or (VALUE,)
        return (VALUE,)

    def _part(self, node: ast.expr, at: ast.AST, depth: int) -> tuple[str, ...]:
        if isinstance(node, ast.Constant):
            return (str(node.value),)
        assert isinstance(node, ast.FormattedValue)
        plain = node.conversion == -1 and node.format_spec is None
        if plain and isinstance(node.value, ast.Name) and node.value.id.isupper():
            return self.texts(node.value, at, depth)
        return (VALUE,)

    def _values(self, name: str, at: ast.AST) -> list[ast.expr]:
        function = self.owner.get(id(at))
        local = self._assigned(list(ast.walk(function))) if function else {}
        if name in local:
            return local[name]
        if function and _is_argument(function, name):
            return []
        return self.globals.get(name) or list(self.elsewhere.get(name, []) if name.isupper() else [])

    @staticmethod
    def _assigned(nodes: Sequence[ast.AST]) -> dict[str, list[ast.expr]]:
        found: dict[str, list[ast.expr]] = {}
        for node in nodes:
            for target, value in _pairs(node):
                found.setdefault(target, []).append(value)
        return found


def _combined(parts: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    yield from islice(product(*parts), MOST_VARIANTS)


def _is_argument(function: ast.FunctionDef, name: str) -> bool:
    arguments = function.args
    return any(one.arg == name for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))


def _pairs(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and values of an assignment."""
    if isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
        yield node.target.id, node.value
    if not isinstance(node, ast.Assign):
        return
    for target in node.targets:
        if isinstance(target, ast.Name):
            yield target.id, node.value
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            for one, value in zip(target.elts, node.value.elts, strict=False):
                if isinstance(one, ast.Name):
                    yield one.id, value


def sites_of(source: str, where: str) -> Iterator[Site]:
    """The sites of one module, in the order of its lines."""
    module = _Module(ast.parse(source), _constants())
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            places = ERRORS.get(name) or (CHECKS.get(name) if where.startswith(CHECK_FOLDERS) else None)
            if places:
                yield _site(module, node, name, places, where)
    if where in TABLES:
        yield from _rows(module, where, *TABLES[where])


def _site(
    module: _Module, node: ast.Call, name: str, places: tuple[int, int | None, int | None], where: str
) -> Site:
    words = {one.arg: one.value for one in node.keywords}
    code, message, remedy = (
        node.args[place] if place is not None and place < len(node.args) else words.get(key)
        for place, key in zip(places, ("code", "message", "remedy"), strict=True)
    )
    return Site(
        f"{where}:{node.lineno}",
        name,
        module.texts(code, node),
        module.texts(message, node) if message is not None else (),
        module.texts(remedy, node) if remedy is not None else (),
    )


def _rows(module: _Module, where: str, name: str, places: tuple[int, int | None, int]) -> Iterator[Site]:
    (table,) = module.globals[name]
    if isinstance(table, ast.Dict):
        rows = [
            [*(value.elts if isinstance(value, ast.Tuple) else [value]), key]
            for key, value in zip(table.keys, table.values, strict=True)
        ]
    else:
        assert isinstance(table, ast.Tuple)
        rows = [list(row.elts) for row in table.elts if isinstance(row, ast.Tuple)]
    for row in rows:
        code, message, remedy = (module.texts(row[one], table) if one is not None else () for one in places)
        yield Site(f"{where}:{getattr(row[0], 'lineno', 0)}", name, code, message, remedy)


@cache
def _modules() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


@cache
def _constants() -> dict[str, list[ast.expr]]:
    """Constants of all modules, for what one imports from another."""
    found: dict[str, list[ast.expr]] = {}
    for source in _modules().values():
        for node in ast.parse(source).body:
            for name, value in _pairs(node):
                if name.isupper():
                    found.setdefault(name, []).append(value)
    return found


@cache
def sites() -> tuple[Site, ...]:
    """All sites of the program."""
    return tuple(site for where, source in _modules().items() for site in sites_of(source, where))


def codes(folder: str = "thorctl") -> frozenset[str]:
    """Every error code that the source below ``folder`` raises; of ``thorctl``, the plugins too."""
    found = set(handed_on(folder))
    for site in sites():
        module = site.where.partition(":")[0]
        if site.kind not in CODE_KINDS or not _below(module, folder):
            continue
        for code in site.codes:
            if code != VALUE:  # handed on
                found |= {code.replace(VALUE, one) for one in PREFIXES.get(module, ("",))}
    return frozenset(found)


def handed_on(folder: str) -> Iterator[str]:
    """The codes that are arguments of functions and classes of the source with a parameter ``code``."""
    for where, source in _modules().items():
        if where == OTHER_CODES or not _below(where, folder):
            continue
        tree = ast.parse(source)
        places = dict(_takers(tree))
        places["load"] = 2  # files.schema's
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and {ast.unparse(one) for one in node.bases} & set(ERRORS):
                places["__init__"] = 0
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            place = places.get(name)
            if place is not None and len(node.args) > place:
                value = node.args[place]
                if isinstance(value, ast.Constant) and CODE.fullmatch(str(value.value)):
                    yield str(value.value)


def _takers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Functions and dataclasses with a parameter ``code``, and its place in a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [one.arg for one in node.args.args if one.arg not in {"self", "cls"}]
        elif isinstance(node, ast.ClassDef):
            names = [
                one.target.id
                for one in node.body
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
            ]
        else:
            continue
        if "code" in names:
            yield node.name, names.index("code")


def _below(where: str, folder: str) -> bool:
    return where.startswith(folder) or (folder == "thorctl" and where.startswith("playbooks"))
