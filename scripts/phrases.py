"""Find phrases that plain technical English does not use, and name a replacement for each.

    scripts/phrases.py               lint the documentation and LINTED_CODE; exit 1 if there is a hit
    scripts/phrases.py --code        count the hits in comments and strings of all code, per file; exit 0

Code blocks and inline code of Markdown are left out, and pages that are generated from code.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ("docs/reference/cli.md",)  # its text is counted where it is written, in code
CODE = (".py", ".yml", ".j2", ".sh")
# Code that must have no hit.
LINTED_CODE = ("deploy/engine/", "examples/", "playbooks/plugins/", "thorctl/")
LEFT_OUT = (
    "tests/fixtures/",
    "images/tiny-qwable/corpus",
    "scripts/phrases.py",
    "tests/repository/test_phrases.py",
)

_THING = (
    r"(?:agent|command|container|device|disk|door|edge|engine|file|gate|hub|image|journal|kernel|lock|log|lookup|"
    r"page|plan|playbook|policy|profile|prompt|registry|release|report|rollout|server|socket|status|systemd|table|"
    r"timer|unit|vLLM|Docker|Ansible|nginx|ssh|preflight|doctor|`[^`]*`)s?"
)

# What to write instead, and regular expressions of what not to write. Matched without regard to case, also
# across a line break.
PHRASES: dict[str, tuple[str, ...]] = {
    "things do not speak: reports, logs, states, returns": (
        rf"\b{_THING} (?:that )?(?:says?|said|tells?|told|speaks?)\b",
    ),
    "things have no mind: requires, uses, lacks": (
        rf"\b{_THING} (?:that )?(?:wants?|wishes|believes?|trusts|likes|forgets|knows)\b",
    ),
    "reports, describes, lists": (
        r"\b(?:it|they|which|what \w+) (?:says|tells) (?:so|of|what|how|why|which|nothing|on)\b",
    ),
    "repeat, idempotent": (r"\bsaid (?:once|twice|again)\b", r"\bsay it again\b"),
    "roll back, rollback, return": (
        r"\bgo(?:es|ing)? back\b",
        r"\b(?:went|gone) back\b",
        r"\bways? back\b",
    ),
    "previous release": (r"\breleases? before\b(?! (?:it|the|its)\b)", r"\bthe one before\b"),
    "begin": (r"\bset(?:s|ting)? out\b",),
    "name the action": (
        r"\bsee(?:s|n|ing)? to it\b",
        r"\bat last\b",
        r"\blook(?:s|ed|ing)? after\b",
        r"\btake(?:s|n)? care of\b",
    ),
    "repeatedly, with the interval": (r"\bagain and again\b",),
    "without limit": (r"\bfor ever\b",),
    "again, newly": (r"\banew\b",),
    "continue": (r"\bgo(?:es|ing)? on\b", r"\bwent on\b"),
    "state the condition": (
        r"\bcomes? to nothing\b",
        r"\bin peace\b",
        r"\bfor want of\b",
        r"\bfor good\b",
    ),
    "name the account, process or person": (r"\bwho(?:so)?ever\b", r"\b(?:by|for) whom\b"),
    "healthy": (
        r"\b(?:is|are|was|were|be|not|keeps? \w+|itself) well\b(?! (?:above|below|under|within|known))",
    ),
    "generates nonsense, malformed, slow": (r"\bbabbl\w*", r"\bgarbled?\b", r"\bdrips?\b"),
    "load-test, generate": (
        r"\b(?:is|are|was|were|be|being) worked\b",
        r"\bwork(?:s|ed)? (?:a|an|the|each|all) (?:device|engine|canary|soak)s?\b",
    ),
    "number of, how long": (r"\bso (?:many|much|long) (?:\w+ )?(?:first|before|slower|as it)\b",),
    "is in, is stored in": (r"\blies? (?:in|below|on|beside|under|at|there)\b", r"\blay (?:in|below|on)\b"),
    "fix, repair": (r"(?<!\")\bmend(?:s|ed|ing)?\b",),
    "state the rule, no aphorism": (
        r"\bunknown is not\b",
        r"\bnothing is half\b",
        r"\bfound wanting\b",
        r"\bnever guess(?:es|ed)?\b",
    ),
    "inconclusive": (r"\bcould not be seen to\b",),
    "no shared memory": (r"\bhas no memory to share\b",),
    "absent devices": (r"\bwho (?:was|is|are) (?:away|absent)\b",),
    "in progress": (r"\b(?:is|are) (?:there )?(?:already )?under way\b",),
    "without side effects, where it matters": (r"(?<!\w)pure\.", r"\bpure:", r": pure\b", r"\ball is pure\b"),
    "state the contract": (r"\bof no use but\b", r"\bnobody(?:'s)? but\b"),
    "as text, last log lines": (r"\bin (?:the|its|their) (?:own )?words\b", r"\b(?:its own|last) words\b"),
    "no metaphor": (r"\blorr(?:y|ies)\b", r"\bcosts? you a\b"),
}
_COMPILED = [
    (re.compile(re.sub(r" (?![?*])", r"\\s+", pattern), re.IGNORECASE), instead)
    for instead, patterns in PHRASES.items()
    for pattern in patterns
]


class Hit(NamedTuple):
    """A phrase, where it stands and what to write instead."""

    line: int
    phrase: str
    instead: str


def hits(text: str) -> Iterator[Hit]:
    """Yield the phrases in ``text``, with line numbers from 1."""
    for pattern, instead in _COMPILED:
        for match in pattern.finditer(text):
            yield Hit(text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), instead)


def prose(page: str) -> str:
    """Return a Markdown page without code, links' targets and comments; every line keeps its number."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    page = re.sub(r"^(?:```.*?^```|<!--.*?-->)$", blank, page, flags=re.DOTALL | re.MULTILINE)
    page = re.sub(r"^    .*$", blank, page, flags=re.MULTILINE)
    page = re.sub(r"`[^`\n]*`", "`x`", page)
    return re.sub(r"\]\([^)\n]*\)", "]", page)


def comments_and_strings(file: Path) -> str:
    """Return the comments and strings of a Python file, each on its line; a sentence may span lines."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    text, line, before = "", 1, tokenize.NL
    with tokenize.open(file) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type in kinds:
                words = token.string.lstrip("# ")
                if token.type == before == tokenize.STRING:  # one string in several pieces
                    text, words = text.rstrip("\"'"), words.lstrip("rbfRBF").lstrip("\"'")
                text += "\n" * max(0, token.start[0] - line) + " " + words
                line = max(line, token.end[0])
            if token.type not in {tokenize.NL, tokenize.COMMENT}:
                before = token.type
    return text


def tracked() -> list[str]:
    """Return the paths of all files that git tracks or would add, relative to the root."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in sorted(set(listed)) if (ROOT / name).is_file()]


def is_page(name: str) -> bool:
    """Return whether the file is documentation that must have no hit."""
    return name.endswith(".md") and name not in GENERATED and not name.startswith(LEFT_OUT)


def is_code(name: str) -> bool:
    """Return whether the file's comments and strings are counted."""
    return name.endswith(CODE) and not name.startswith(LEFT_OUT)


def is_linted(name: str) -> bool:
    """Return whether the file is code that must have no hit."""
    return is_code(name) and name.startswith(LINTED_CODE)


def code_text(name: str) -> str:
    """Return the text of a code file that is searched for phrases."""
    path = ROOT / name
    return comments_and_strings(path) if name.endswith(".py") else path.read_text(encoding="utf-8")


def lint() -> int:
    """Print the hits in the documentation and in LINTED_CODE; return the exit code."""
    found = 0
    for name in tracked():
        if is_page(name):
            text = prose((ROOT / name).read_text(encoding="utf-8"))
        elif is_linted(name):
            text = code_text(name)
        else:
            continue
        for hit in sorted(hits(text)):
            sys.stdout.write(f"{name}:{hit.line}: {hit.phrase!r}: {hit.instead}\n")
            found += 1
    return 1 if found else 0


def count() -> None:
    """Print the number of hits in code, per file, most first."""
    numbers: dict[str, int] = {}
    for name in tracked():
        if is_code(name) and (number := sum(1 for _ in hits(code_text(name)))):
            numbers[name] = number
    for name, number in sorted(numbers.items(), key=lambda one: (-one[1], one[0])):
        sys.stdout.write(f"{number:5} {name}\n")
    sys.stdout.write(f"{sum(numbers.values()):5} in {len(numbers)} files\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--code"]:
        count()
    else:
        sys.exit(lint())
