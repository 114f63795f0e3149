"""Write a file atomically: a reader finds the old content or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, content: bytes | str, mode: int = 0o644) -> None:
    """Replace ``path`` by ``content`` (text in UTF-8), synced, never with wider permissions than ``mode``.

    The folder has to exist. A failure leaves no file.

    Raises:
        OSError: the file could not be written; its ``filename`` is set.
    """
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600 until complete
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
        Path(draft).replace(path)
    except BaseException as error:
        Path(draft).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk, for example
            error.filename = str(path)
        raise
