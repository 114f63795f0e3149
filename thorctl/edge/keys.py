"""API keys: made here, kept nowhere by us."""

from __future__ import annotations

import base64
import secrets

KEY_BYTES = 32  # 256 bits: guessing is hopeless at any rate
PREFIX = "thor-"  # so that secret scanners, and people, see what it is


def new_key() -> str:
    """A fresh key: ``thor-`` and 52 characters of a-z and 2-7."""
    return PREFIX + base64.b32encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=").lower()
