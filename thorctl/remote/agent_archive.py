"""Pack the device agent into one zipapp with reproducible bytes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import thorctl
from thorctl.files import atomic

PACKAGE = Path(thorctl.__file__).parent
FOLDERS = ("agent", "protocol")
FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the zip format's earliest: no build time in the bytes
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = b"import sys\nfrom thorctl.agent.__main__ import main\nsys.exit(main())\n"


def build(out: Path) -> Path:
    """Write the zipapp to ``out`` (executable, replaced atomically) and return it.

    Raises:
        OSError: could not be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO(SHEBANG)
    content.seek(0, io.SEEK_END)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, source in sorted(_entries().items()):
            entry = zipfile.ZipInfo(name, FIXED_TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, source)
    atomic.write(out, content.getvalue(), 0o755)
    return out


def _entries() -> dict[str, bytes]:
    entries = {"__main__.py": MAIN, "thorctl/__init__.py": (PACKAGE / "__init__.py").read_bytes()}
    for source in (file for folder in FOLDERS for file in (PACKAGE / folder).rglob("*.py")):
        entries[f"thorctl/{source.relative_to(PACKAGE).as_posix()}"] = source.read_bytes()
    return entries
