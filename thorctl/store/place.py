"""The path of the store: the XDG state directory of the user, readable by no other user."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from thorctl.errors import ThorError
from thorctl.store.migrations import APPLICATION_ID

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "THORCTL_STATE_DIR"
FILE = "thorctl.sqlite3"


def _users_folder() -> Path:
    return platformdirs.user_state_path("thorctl")


# The folder without a variable. The command line sets another one for simulated devices.
default_folder: Callable[[], Path] = _users_folder


def store_file() -> Path:
    """Return ``$THORCTL_STATE_DIR/thorctl.sqlite3``, else that in ``default_folder()``. Creates nothing."""
    chosen = os.environ.get(VARIABLE)
    return (Path(chosen).absolute() if chosen else default_folder()) / FILE


def make_private(file: Path) -> None:
    """Create the file and its folder if missing; the file is readable by its owner only.

    SQLite gives its further files the same mode. The file itself is never opened here: closing it would
    release the locks that other threads of this process hold on it.

    Raises:
        ThorError: ``store_unusable``.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Read first: SQLite creates it after the file itself.
        rest = os.path.lexists(f"{file}-wal")
        if not os.path.lexists(file):
            if rest:  # SQLite would write it into the new file
                raise unusable(file, f"{file}-wal is left from another file of that name; move it away")
            _make(file)
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise unusable(file, "it is not a file")
        if found.st_uid != os.geteuid():
            raise unusable(file, f"it belongs to the user with the number {found.st_uid}, not to you")
        if stat.S_IMODE(found.st_mode) != 0o600:
            file.chmod(0o600)
    except OSError as fault:
        raise unusable(file, fault.strerror or str(fault)) from fault


def _make(file: Path) -> None:
    """Create an empty store atomically, so that concurrent processes never see a partial one."""
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".new-") as folder:  # 0700
        draft = Path(folder) / file.name
        db = sqlite3.connect(draft)
        try:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        finally:
            db.close()
        if mode != "wal":
            raise unusable(
                file,
                f"the file system has no shared memory, so SQLite uses {mode!r}, not WAL (network share?)",
            )
        draft.chmod(0o600)
        try:
            file.hardlink_to(draft)
        except FileExistsError:
            return  # another process was first
    handle = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unusable(file: Path, why: str) -> ThorError:
    """Return the error for a store that cannot be opened or written."""
    return ThorError(
        "store_unusable",
        f"The store {file} cannot be used: {why}.",
        f"Make it a file of your own on a local disk, or name another folder with {VARIABLE}=DIR.",
    )
