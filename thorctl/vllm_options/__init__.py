"""The options of `vllm serve`, as the real parsers of some versions list them: ``<version>.json``.

The files are written by ``python -m tests.contract.write``; the contract test compares.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorctl.schema import WrongKeyError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Option:
    """One long option: a ``flag`` has no value, ``many`` are several words, ``choices`` are all there are.

    ``keys`` are those of its value, where that is an object with keys of its own; None: any, or no object.
    """

    flag: bool
    many: bool
    choices: tuple[str, ...] | None
    keys: tuple[str, ...] | None = None


def versions() -> list[str]:
    """Versions whose options are known, oldest first."""
    return sorted((path.stem for path in FOLDER.glob("*.json")), key=_order)


@functools.cache
def known(version: str) -> Mapping[str, Option]:
    """The options of one of `versions`, by name without dashes before it."""
    document = json.loads((FOLDER / f"{version}.json").read_text(encoding="utf-8"))
    return {
        name: Option(
            row["flag"],
            row["many"],
            tuple(row["choices"]) if row["choices"] else None,
            tuple(row["keys"]) if "keys" in row else None,
        )
        for name, row in document.items()
    }


def closest(version: str) -> str:
    """The newest of `versions` that is not newer than ``version``; the oldest where all are newer."""
    not_newer = [one for one in versions() if _order(one)[:2] <= _order(version)[:2]]
    return not_newer[-1] if not_newer else versions()[0]


def takes(name: str, version: str | None) -> bool:
    """Whether the image's vLLM has an option; of an unknown version, whether all of `versions` have."""
    return all(name in known(one) for one in ([closest(version)] if version else versions()))


def check(options: Mapping[str, Any], version: str | None) -> None:
    """Refuses what `vllm serve` would refuse.

    Args:
        options: serve.yaml's, a list for several words and True for a flag.
        version: the image's vLLM, ``0.19.0``; None where nobody knows: then one of `versions` must take it.

    Raises:
        WrongKeyError: a name that the parser has not, or a value that it would not take.
    """
    against = [closest(version)] if version else versions()
    for name, value in options.items():
        tables = [known(one) for one in against]
        found = [table[name] for table in tables if name in table]
        if not found:
            raise WrongKeyError(name, _unknown(name, against, version))
        wrong = [_misfit(name, value, option) for option in found]
        if all(wrong):
            raise WrongKeyError(name, f"{wrong[-1]} (vLLM {against[-1]})")


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
    if option.keys and isinstance(value, dict):
        for key in value:
            if key not in option.keys:
                guess = nearest(key, option.keys)
                return f"{name!r} has no key {key!r}" + (f"; did you mean {guess!r}?" if guess else "")
    words = value if isinstance(value, list) else [value]
    if option.choices and not isinstance(value, dict):
        for word in words:
            if str(word) not in option.choices:
                return f"{name!r} takes {', '.join(option.choices)}; not {word!r}"
    return None


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+", maxsplit=1)[0].split(".") if part.isdigit())
