"""Every message and remedy in the source follows one template (CONTRIBUTING.md, Errors)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from scripts.phrases import hits
from tests.support.error_sites import VALUE, Site, sites, sites_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a remedy begins with. A condition may come before it: "If …, ".
IMPERATIVES = frozenset(
    re.findall(
        r"\w+",
        """
        accept activate add allow approve ask audit begin change check choose close commit compare continue
        copy correct create cut declare delete describe download enter extend find fix flash free get give
        ignore install issue keep leave let load lock log lower make measure mount move name open order pass
        publish push put raise reach read reboot record reduce release remove render repair repeat replace
        report resolve restart restrict return review roll run see select set stage start stop switch take
        try turn undo unset update use wait watch write
        """,
    )
)
CONDITIONS = ("if", "only if", "as root,", "on the device,")
PROGRAMS = (
    r"(?:thorctl|thor-agent|ansible|ansible-[a-z]+|systemctl|journalctl|ssh-[a-z]+|docker|hf|make|chmod|pip"
    r"|apt-get)"
)
VERB = r"[a-z][a-z-]*"
# A command outside of back-ticks: a program, and a word or an option.
BARE_COMMAND = re.compile(rf"(?<![\w/.`-]){PROGRAMS} (?:-|{VERB} (?:-|\{{\}}|[A-Z]+\b))")
FIRST_OF_A_MESSAGE = re.compile(
    r"^(?:[A-Z0-9`'\"/]|\{\}|--|[a-z]+[._-]\w|ssh\b|sudo\b|sshd\b|systemd\b|nginx\b|site\.yml)"
)
DOUBLED = re.compile(r"\.\.(?!\.)|[,;:]\.|\.[,;:]|  |\s[.,;:](?:\s|$)")
COUNTS = re.compile(r"(?:^|\s)(?:\{\}|\d+) (?!has )(?:\w+ )?(?:devices|files|lines|events|requests|groups)\b")
SIZES = re.compile(r"\{\} (?:GB|GiB|MB|MiB|bytes)\b")


def faults(site: Site) -> Iterator[str]:
    """What is not as the template has it."""
    for text in site.messages:
        yield from (f"message {fault}: {text}" for fault in _message(text))
    for text in site.remedies:
        yield from (f"remedy {fault}: {text}" for fault in _remedy(text))


def _message(text: str) -> Iterator[str]:
    if text == VALUE:
        return
    yield from _any(text)
    if not FIRST_OF_A_MESSAGE.match(text):
        yield "begins without a capital"


def _remedy(text: str) -> Iterator[str]:
    if text in {VALUE, ""}:
        return
    yield from _any(text)
    if BARE_COMMAND.search(re.sub(r"`[^`]*`", "``", text)):
        yield "has a command without back-ticks"
    words = text.lower()
    for condition in CONDITIONS:
        if words.startswith(condition):
            words = re.split(r"[,:] ", words, maxsplit=1)[-1]
            break
    if text.startswith(f"{VALUE} ") and text[3:4].isupper():
        return  # the value is a sentence of its own
    first = re.split(r"[\s:,]", words, maxsplit=1)[0]
    if first not in IMPERATIVES:
        yield f"begins with {first!r}, no imperative"


def _any(text: str) -> Iterator[str]:
    if not text.endswith((".", VALUE, "?", "…")) and "\n" not in text:
        yield "ends without a full stop"
    bare = re.sub(r"`[^`]*`", "``", text)
    if found := DOUBLED.search(bare):
        yield f"has {found[0]!r}"
    if found := COUNTS.search(bare):
        yield f"has a number with a fixed plural ({found[0].strip()!r}; protocol.plural)"
    if found := SIZES.search(bare):
        yield f"has a size without the formatter ({found[0]!r}; protocol.sizes)"
    for hit in hits(text):
        yield f"has {hit.phrase!r} ({hit.instead})"


def test_messages_and_remedies_follow_the_template() -> None:
    wrong = [f"{site.where}: {fault}" for site in sites() for fault in dict.fromkeys(faults(site))]
    assert not wrong, "\n".join(wrong)


BAD = [
    "ThorError('c', 'it is full.', 'Free space.')",
    "ThorError('c', 'It is full', 'Free space.')",
    "ThorError('c', 'It is full.', 'Space has to be freed.')",
    "ThorError('c', 'It is full.', f'See thorctl status {d}.')",
    "ThorError('c', 'It is full.', f'{device} has to be freed.')",
    "ThorError('c', f'It is full: {e}..', 'Free space.')",
    "ThorError('c', f'It has {n} devices.', 'Name one.')",
    "ThorError('c', f'It needs {n / 1e9} GB.', 'Free space.')",
    "ThorError('c', 'There is no way back.', 'Free space.')",
]


@pytest.mark.parametrize("source", BAD)
def test_what_does_not_follow_it_is_found(source: str) -> None:
    (site,) = sites_of(source, "x.py")
    assert list(faults(site))


def test_names_are_followed_to_their_texts() -> None:
    source = """
REMEDY = "Free space."
def f(n, why):
    message = f"It is full: {n}." if n else "It is full."
    raise ThorError("a" if n else "b", message + why, REMEDY)
"""
    (site,) = sites_of(source, "x.py")
    assert site.codes == ("a", "b")
    assert site.messages == ("It is full: {}.{}", "It is full.{}")
    assert site.remedies == ("Free space.",)
