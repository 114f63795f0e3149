"""Open the checkpoint of an argument, in a folder or on a hub."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from thorctl.checkpoint.source import Folder, Hub
from thorctl.cli.lock import addresses
from thorctl.errors import ThorError
from thorctl.registry.hub import address_of
from thorctl.release.profile import Checkpoint

HUB = "https://huggingface.co"


@contextlib.contextmanager
def opened(what: str, endpoint: str, pairs: tuple[str, ...]) -> Any:
    """Return the folder of that name, else the repository."""
    folder = Path(what)
    if folder.is_dir() or what.startswith((".", "/", "~")):
        yield Folder(folder.expanduser())
        return
    repository, _, revision = what.partition("@")
    try:
        checkpoint = Checkpoint.model_validate(
            {"repository": repository, "revision": revision or "main", "endpoint": endpoint}
        )
    except ValueError as error:
        raise ThorError(
            "checkpoint_not_found",
            f"{what} is neither a folder nor a repository.",
            "Name a folder, or a repository as OWNER/NAME or OWNER/NAME@REVISION.",
        ) from error
    with Hub(checkpoint, address_of(checkpoint, addresses(pairs))) as found:
        yield found
