"""One host's variables, with the templates that inventories use filled in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined
from jinja2.exceptions import TemplateError
from jinja2.sandbox import SandboxedEnvironment

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Mapping

# `ansible-inventory --list` prints templates unfilled. A variable may refer to one that refers to another.
_DEPTH = 5
# Not HTML: the values are addresses, paths and ssh arguments.
_TEMPLATES = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


class Variables:
    """Typed access to the variables of the host ``name``."""

    def __init__(self, name: str, raw: Mapping[str, Any], folder: Path) -> None:
        self._name = name
        self._raw = {"inventory_dir": str(folder), "inventory_hostname": name, **raw}
        self._folder = folder

    def text(self, key: str) -> str | None:
        """The variable as text; None where it is absent or empty."""
        value = self._raw.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, (str, int, float)):
            raise self._error(key, f"is {value!r}, not text")
        text = str(value)
        try:
            for _ in range(_DEPTH):
                if "{{" not in text and "{%" not in text:
                    return text
                text = _TEMPLATES.from_string(text).render(self._raw)
        except TemplateError as error:
            raise self._error(key, f"cannot be filled in: {error.message}") from error
        raise self._error(key, "refers to itself")

    def words(self, key: str) -> tuple[str, ...]:
        """The variable as a list of words: a list, or one text with commas."""
        value = self._raw.get(key)
        if not isinstance(value, list):
            value = (self.text(key) or "").split(",")
        items = [Variables(self._name, {**self._raw, key: one}, self._folder).text(key) for one in value]
        return tuple(item.strip() for item in items if item and item.strip())

    def number(self, key: str, default: int) -> int:
        """The variable as a whole number."""
        text = self.text(key)
        if text is None:
            return default
        if not text.isdecimal():
            raise self._error(key, f"is {text!r}, not a number")
        return int(text)

    def path(self, key: str) -> Path | None:
        """The variable as a path; a relative one is taken as Ansible takes it, from the working directory."""
        text = self.text(key)
        return Path(text).expanduser() if text else None

    def _error(self, key: str, problem: str) -> ThorError:
        return ThorError(
            "inventory_invalid",
            f"{key} {problem}.",
            f"Correct {key} in the inventory; outside playbooks only plain variables and "
            "{{ inventory_dir }} can be filled in.",
            device=self._name,
        )
