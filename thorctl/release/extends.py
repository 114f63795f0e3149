"""``extends: NAME`` in a profile: a variant contains only its differences from another profile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thorctl import shipped
from thorctl.errors import ThorError
from thorctl.files import yaml_file
from thorctl.ui.nearest import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.files.yaml_file import YamlFile

KEY = "extends"
PART = "profiles"


def resolved(file: YamlFile, deploy: Path) -> YamlFile:
    """Return ``file`` merged over the profiles it extends: the project's, else shipped ones.

    Maps are merged key by key; other values, lists too, are replaced as a whole; null removes a key.

    Raises:
        ThorError: ``profile_invalid`` for an unknown base or a cycle; the errors of reading a base.
    """
    return replace(file, data=_data(file, deploy, ()))


def _data(file: YamlFile, deploy: Path, seen: tuple[str, ...]) -> Any:
    if not isinstance(file.data, dict) or KEY not in file.data:
        return file.data
    own = {key: value for key, value in file.data.items() if key != KEY}
    base = file.data[KEY]
    here = (*seen, file.path.stem)
    known = shipped.names(deploy, PART)
    if base in here:
        raise _invalid(file, f"extends has a cycle: {' → '.join((*here, base))}", "Remove the cycle.")
    if base not in known:
        guess = nearest(str(base), known)
        raise _invalid(
            file,
            f"extends: there is no profile {base!r}.{f' Did you mean {guess!r}?' if guess else ''}",
            f"Name one of: {', '.join(known)}.",
        )
    return merged(_data(yaml_file.read(shipped.find(deploy, PART, f"{base}.yml")), deploy, here), own)


def merged(below: Any, above: dict[str, Any]) -> dict[str, Any]:
    """Return ``above`` merged over ``below``; see `resolved`. Neither is changed."""
    result = dict(below) if isinstance(below, dict) else {}
    for key, value in above.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(result.get(key), value)
        else:
            result[key] = value
    return result


def _invalid(file: YamlFile, sentence: str, remedy: str) -> ThorError:
    return ThorError("profile_invalid", f"{file.place([KEY])}: {sentence}", remedy)
