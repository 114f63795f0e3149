"""Canonical JSON, and the hashes and names computed from it (RFC 8785's rules for keys and blanks, UTF-8).

Locks, releases and cache keys are compared by the SHA-256 of this spelling, so agent and controller share it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

ID_HEX_DIGITS = 12  # of a release's id; releases are compared by all 64


def encode(document: Any, errors: str = "strict") -> bytes:
    """``document`` with sorted keys and no blanks.

    Args:
        document: JSON data.
        errors: what to do with lone surrogates, which a file edited by hand may hold: see ``str.encode``.

    Raises:
        UnicodeEncodeError: a lone surrogate, unless ``errors`` allows it.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors=errors)


def sha256(document: Any, errors: str = "strict") -> str:
    """SHA-256 of ``encode(document, errors)``, as 64 hex digits."""
    return hashlib.sha256(encode(document, errors)).hexdigest()


def release_sha256(document: dict[str, Any]) -> str:
    """SHA-256 of a release document without its ``id``: what releases are compared by."""
    return sha256({key: value for key, value in document.items() if key != "id"})


def release_id(document: dict[str, Any]) -> str:
    """``<name>-<first 12 hex digits of release_sha256>``, whatever id the document claims."""
    return f"{document['name']}-{release_sha256(document)[:ID_HEX_DIGITS]}"
