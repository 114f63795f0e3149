"""Renders the model's chat template with jinja2, set up as transformers and vLLM set it up."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from recipe.paths import MODEL


def _refuse(message: str) -> str:
    raise jinja2.TemplateError(message)


@cache
def _template() -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _refuse
    return environment.from_string((MODEL / "chat_template.jinja").read_text(encoding="utf-8"))


def render(messages: list[Any], **options: Any) -> str:
    """Give the prompt for these messages; raises jinja2.TemplateError where the template refuses them."""
    return _template().render(messages=messages, **{"add_generation_prompt": True, **options})
