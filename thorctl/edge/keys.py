"""Generate API keys; they are not stored."""

from __future__ import annotations

import base64
import secrets

KEY_BYTES = 32  # 256 bits, infeasible to guess
PREFIX = "thor-"  # recognisable by secret scanners and people


def new_key() -> str:
    """Return a new key: ``thor-`` and 52 characters of a-z and 2-7."""
    return PREFIX + base64.b32encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=").lower()
