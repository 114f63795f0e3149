"""``extends: NAME`` in a profile: a variant says only what differs from another profile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thorctl import schema, yamlfile
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.yamlfile import YamlFile

KEY = "extends"


def resolved(file: YamlFile, folder: Path) -> YamlFile:
    """``file`` with the data of the profiles it extends beneath its own.

    Maps are merged key by key; anything else, lists too, is replaced as a whole; null takes a key away.

    Raises:
        ThorError: ``profile_invalid`` for an unknown base or a circle; what reading a base raises.
    """
    return replace(file, data=_data(file, folder, ()))


def _data(file: YamlFile, folder: Path, seen: tuple[str, ...]) -> Any:
    if not isinstance(file.data, dict) or KEY not in file.data:
        return file.data
    own = {key: value for key, value in file.data.items() if key != KEY}
    base = file.data[KEY]
    here = (*seen, file.path.stem)
    known = schema.names(folder)
    if base in here:
        raise _invalid(file, f"extends goes in a circle: {' → '.join((*here, base))}", "Break the circle.")
    if base not in known:
        guess = schema.nearest(str(base), known)
        raise _invalid(
            file,
            f"extends: there is no profile {base!r}.{f' Did you mean {guess!r}?' if guess else ''}",
            f"There are: {', '.join(known)}.",
        )
    return merged(_data(yamlfile.read(folder / f"{base}.yml"), folder, here), own)


def merged(below: Any, above: dict[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``; see `resolved`. Neither is changed."""
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
