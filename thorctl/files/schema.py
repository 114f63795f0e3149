"""Read files into models: a validation error becomes a sentence with file, line and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from thorctl import shipped
from thorctl.errors import ThorError
from thorctl.files import yaml_file
from thorctl.ui.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

NAME_PATTERN = r"^[a-z0-9][a-z0-9.-]*$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=64)]


class Model(BaseModel):
    """The base model: immutable, unknown keys rejected."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )


class NamedModel(Model):
    """A model in a file of its name."""

    name: Name = Field(description="The file's name without .yml.")


M = TypeVar("M", bound=Model)
N = TypeVar("N", bound=NamedModel)


class WrongKeyError(ValueError):
    """Raised by validators of free maps: the error is reported at the line of ``key``, not of the map."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


def load(
    path: Path,
    model: type[M],
    code: str,
    prepare: Callable[[yaml_file.YamlFile], yaml_file.YamlFile] | None = None,
) -> M:
    """Read a YAML file into ``model``; ``prepare`` may change its data before the validation.

    Raises:
        ThorError: ``yaml_malformed``, ``file_unreadable``, or ``code`` naming file, line and key.
    """
    file = yaml_file.read(path)
    if not isinstance(file.data, dict):
        raise ThorError(code, f"{path}:1: the file has no keys.", f"Write it as {describe(model)}.")
    if prepare:
        file = prepare(file)
    try:
        return model.model_validate(file.data)
    except ValidationError as error:
        raise explain(error, model, file, code) from error


def load_named(
    deploy: Path,
    part: str,
    name: str,
    model: type[N],
    what: str,
    *,
    prepare: Callable[[yaml_file.YamlFile], yaml_file.YamlFile] | None = None,
) -> N:
    """Read ``<part>/<name>.yml`` of the project, else the shipped one.

    Args:
        deploy: the project's.
        part: its folder there, such as ``device_classes``.
        name: of the file, without ``.yml``.
        model: the model to read it into.
        what: its name in messages, such as ``device class``.
        prepare: as for `load`.

    Raises:
        ThorError: ``<what>_unknown`` (lists the names), ``<what>_invalid``, ``yaml_malformed``.
    """
    word = what.replace(" ", "_")
    known = shipped.names(deploy, part)
    if name not in known:
        guess = nearest(name, known)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise ThorError(
            f"{word}_unknown",
            f"There is no {what} {name!r}.{hint}",
            f"Name one of: {', '.join(known) or '(none)'}; or write a new one as a file in {deploy / part}.",
        )
    path = shipped.find(deploy, part, f"{name}.yml")
    found = load(path, model, f"{word}_invalid", prepare)
    if found.name != name:
        raise ThorError(
            f"{word}_invalid",
            f"{path}: the file is named {name!r} and has name: {found.name}.",
            f"Write `name: {name}`, or rename the file to {found.name}.yml.",
        )
    return found


def explain(error: ValidationError, model: type[BaseModel], file: yaml_file.YamlFile, code: str) -> ThorError:
    """Combine all problems of one file, each with its line, in one error."""
    sentences, remedies = [], []
    for detail in error.errors(include_url=False):
        wrong = detail.get("ctx", {}).get("error")
        deeper = (wrong.key,) if isinstance(wrong, WrongKeyError) else ()
        where = file.place([part for part in (*detail["loc"], *deeper) if part != "[key]"])
        sentence, remedy = explain_one(detail["type"], detail["loc"], detail["msg"], model)
        sentences.append(f"{where}: {sentence}")
        if remedy not in remedies:
            remedies.append(remedy)
    return ThorError(code, "\n".join(sentences), " ".join(remedies))


def explain_one(kind: str, loc: Sequence[int | str], message: str, model: type[BaseModel]) -> tuple[str, str]:
    """Return one pydantic error as (condition, remedy)."""
    key = ".".join(str(part) for part in loc if part != "[key]") or "the file"
    if kind == "extra_forbidden":
        known = keys_at(model, loc[:-1])
        guess = nearest(str(loc[-1]), known)
        hint = f" Did you mean {guess!r}?" if guess else ""
        return (
            f"unknown key {loc[-1]!r}{' in ' + key.rpartition('.')[0] if len(loc) > 1 else ''}.{hint}",
            f"Use {guess!r} instead of {loc[-1]!r}." if guess else f"Keys here: {', '.join(sorted(known))}.",
        )
    if kind == "missing":
        return f"{key} is missing.", f"Add {key}."
    return f"{key}: {message.removeprefix('Value error, ')}.", f"Correct {key}."


def keys_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Return the keys that a file may have at ``loc``; [] if any are allowed."""
    here: Any = model
    for part in loc:
        if isinstance(part, str) and isinstance(here, type) and issubclass(here, BaseModel):
            fields = {info.alias or name: info for name, info in here.model_fields.items()}
            here = inner_model(fields[part].annotation) if part in fields else None
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return []
    return [info.alias or name for name, info in here.model_fields.items()]


def inner_model(annotation: Any) -> Any:
    """Return the model inside ``tuple[Prompt, ...]``, ``Prompt | None`` and the like, or None."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for part in get_args(annotation) if (found := inner_model(part))), None)


def describe(model: type[BaseModel]) -> str:
    """Return the keys of a model in order."""
    return "keys " + ", ".join(info.alias or name for name, info in model.model_fields.items())
