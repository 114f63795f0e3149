"""Render Jinja templates: the project's own, else the shipped ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound

from thorctl import shipped
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


def render(
    deploy: Path,
    part: str,
    files: Iterable[str],
    values: Mapping[str, Any],
    filters: Mapping[str, Callable[..., Any]] | None = None,
) -> dict[str, str]:
    """Render ``<file>.j2`` of the folder ``part`` for each of ``files``.

    Args:
        deploy: the project's folder; its ``part`` may lack some or all of the templates.
        part: ``templates`` or ``edge``.
        files: names, without ``.j2``.
        values: variables; a template that uses another one is rejected.
        filters: in addition to Jinja's own.

    Returns:
        File name -> text.

    Raises:
        ThorError: ``templates_missing``, ``template_invalid``.
    """
    environment = Environment(
        loader=FileSystemLoader(shipped.folders(deploy, part)),
        undefined=StrictUndefined,
        # The files are YAML, nginx, systemd and environment syntax: HTML escapes would corrupt them. Values
        # use the filter of their syntax, or were checked character by character.
        autoescape=False,  # noqa: S701 - see above
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters or {}
    try:
        return {file: environment.get_template(f"{file}.j2").render(values) for file in files}
    except TemplateNotFound as error:
        raise ThorError(
            "templates_missing",
            f"{deploy / part}: there is no {error.name}.",
            "Install thorctl again: the installation is incomplete.",
        ) from error
    except TemplateError as error:
        raise ThorError(
            "template_invalid",
            f"A template of {deploy / part} cannot be rendered: {error.message}.",
            "Correct it, or remove the project's template: the shipped one is then used.",
        ) from error
