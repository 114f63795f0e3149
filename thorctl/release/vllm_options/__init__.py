"""The options of `vllm serve`, as the real parsers of some versions list them: ``<version>.json``.

The files are written by ``python -m tests.system.contract.write``; the contract test compares.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorctl.files.schema import WrongKeyError
from thorctl.release.vllm_options import values
from thorctl.ui.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent


PLUGINS = {"tool-call-parser": "tool-parser-plugin", "reasoning-parser": "reasoning-parser-plugin"}
_BOUNDS = ("least", "above", "most", "below")


@dataclass(frozen=True, slots=True)
class Option:
    """One long option: a ``flag`` has no value, ``many`` is several words, ``choices`` are all values."""

    flag: bool
    many: bool
    choices: tuple[str, ...] | None
    takes: str = "text"  # int, float, number, number or auto, object, array, json, json or text
    optional: bool = False  # the word None is a value
    folded: bool = False  # case-insensitive
    bounds: Mapping[str, float] = field(default_factory=dict)  # least, above, most, below
    registered: tuple[str, ...] | None = None  # names that vLLM's server looks up at its start
    keys: Mapping[str, dict[str, Any]] | None = None  # of an object; each with its types, bounds and choices


def versions() -> list[str]:
    """Return the versions with known options, oldest first."""
    return sorted((path.stem for path in FOLDER.glob("*.json")), key=_order)


@functools.cache
def known(version: str) -> Mapping[str, Option]:
    """Return the options of one of `versions`, by name without leading dashes."""
    document = json.loads((FOLDER / f"{version}.json").read_text(encoding="utf-8"))
    return {
        name: Option(
            flag=row["flag"],
            many=row["many"],
            choices=tuple(row["choices"]) if row["choices"] else None,
            takes=row.get("takes", "text"),
            optional=row.get("optional", False),
            folded=row.get("folded", False),
            bounds={bound: row[bound] for bound in _BOUNDS if bound in row},
            registered=tuple(row["registered"]) if "registered" in row else None,
            keys=row.get("keys"),
        )
        for name, row in document.items()
    }


def closest(version: str) -> str:
    """Return the newest of `versions` that is not newer than ``version``, else the oldest."""
    not_newer = [one for one in versions() if _order(one)[:2] <= _order(version)[:2]]
    return not_newer[-1] if not_newer else versions()[0]


def takes(name: str, version: str | None) -> bool:
    """Return whether the image's vLLM has an option; if unknown, whether all of `versions` have."""
    return all(name in known(one) for one in ([closest(version)] if version else versions()))


def is_registered(name: str, value: str) -> bool:
    """Return whether one of `versions` has a parser of that name without a plugin."""
    return any(value in (known(one)[name].registered or ()) for one in versions())


def check(options: Mapping[str, Any], version: str | None) -> None:
    """Reject what `vllm serve` would reject.

    Args:
        options: serve.yaml's, a list for several words and True for a flag.
        version: the image's vLLM, ``0.19.0``; None if unknown: then one of `versions` must accept it.

    Raises:
        WrongKeyError: an unknown name, or a value that the parser would reject.
    """
    against = [closest(version)] if version else versions()
    for name, value in options.items():
        tables = [known(one) for one in against]
        found = [table[name] for table in tables if name in table]
        if not found:
            raise WrongKeyError(name, _unknown(name, against, version))
        if PLUGINS.get(name) in options:
            found = [replace(option, registered=None) for option in found]
        wrong = [_misfit(name, value, option) for option in found]
        if all(wrong):
            raise WrongKeyError(name, f"{wrong[-1]} (vLLM {against[-1]})")
    _together(options)


def _together(options: Mapping[str, Any]) -> None:
    """Reject options that vLLM accepts singly, but not together."""
    if options.get("enable-auto-tool-choice") and "tool-call-parser" not in options:
        raise WrongKeyError("enable-auto-tool-choice", "'enable-auto-tool-choice' needs a 'tool-call-parser'")
    tokens, sequences, context = (
        values.number(options[name])
        if name in options and str(options[name]).lower() not in {"auto", "none"}
        else None
        for name in ("max-num-batched-tokens", "max-num-seqs", "max-model-len")
    )
    if tokens is not None and sequences is not None and tokens < sequences:
        raise WrongKeyError(
            "max-num-batched-tokens",
            f"'max-num-batched-tokens' ({tokens}) must not be less than 'max-num-seqs' ({sequences})",
        )
    whole = options.get("no-enable-chunked-prefill")
    if whole and tokens is not None and context is not None and tokens < context:
        raise WrongKeyError(
            "max-num-batched-tokens",
            f"'max-num-batched-tokens' ({tokens}) must not be less than 'max-model-len' ({context}) "
            "with 'no-enable-chunked-prefill'",
        )


def _unknown(name: str, against: list[str], version: str | None) -> str:
    elsewhere = [one for one in versions() if name in known(one)]
    if elsewhere:
        return f"vLLM {version} has no option {name!r}; {', '.join(elsewhere)} has"
    guess = nearest(name, {key for one in against for key in known(one)})
    return f"`vllm serve` has no option {name!r}" + (f"; did you mean {guess!r}?" if guess else "")


def _misfit(name: str, value: Any, option: Option) -> str | None:
    if option.flag and value is not True:
        return f"{name!r} takes no value: write '{name}: true', or leave it out"
    if not option.flag and value is True:
        return f"{name!r} needs a value"
    if isinstance(value, list) and not option.many:
        return f"{name!r} takes one value, not a list"
    return None if option.flag else values.fault(name, value, option)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+", maxsplit=1)[0].split(".") if part.isdigit())
