"""Parse the release's rendered serve.yaml: the engine's effective options.

thorctl writes one option per line with its value as JSON (thorctl.release.render.yaml_value), so no YAML
parser is needed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thorctl.agent.release.document import Release

FILE = "serve.yaml"


def options(release: Release) -> dict[str, Any]:
    """Return option → value.

    Raises:
        ValueError: the file is missing, or a line is not in thorctl's form.
    """
    file = release.document["files"].get(FILE)
    if file is None:
        raise ValueError(f"the release has no {FILE}")
    found: dict[str, Any] = {}
    for line in str(file["content"]).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        option, colon, value = line.partition(": ")
        if not colon or not option or option != option.strip():
            raise ValueError(f"{FILE} has a line that is not an option: {line!r}")
        try:
            found[option] = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{FILE} has a value that cannot be read: {line!r}") from error
    return found
