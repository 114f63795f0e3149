"""The hub's token, where this device has one. It goes from its file to the hub and nowhere else."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thorctl.agent import device
from thorctl.agent.account import ROOT, Account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.agent.context import Context

FILE = "/etc/thor/hub-token"  # root, 0600; written by Ansible (role thor_host)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
IN_CONTAINER = "/run/secrets/hub-token"


def file(ctx: Context) -> Path | None:
    """The file, if there is a token in it."""
    return ctx.paths.at(FILE) if (device.text(ctx, FILE) or "").strip() else None


def may_see(endpoint: str) -> bool:
    """Whether the token may go to ``endpoint``: where nobody on the way can read it."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or (parts.hostname or "") in LOOPBACK


@contextmanager
def shown(ctx: Context, endpoint: str, user: Account) -> Iterator[list[str]]:
    """Options of ``docker run`` that give the token to ``hf`` (HF_TOKEN_PATH); none where it may not go.

    As a file: an environment variable would be read by ``docker inspect``, an argument by ``ps``. An account
    other than root gets a copy of its own, in memory, which goes with the block.
    """
    found = file(ctx)
    if found is None or not may_see(endpoint):
        yield []
        return
    lent = found if user == ROOT else ctx.paths.run_dir / "hub-token"
    try:
        if lent is not found:
            ctx.files.write(lent, found.read_bytes(), 0o400)
            os.chown(lent, user.uid, user.gid)
        yield [
            *("--mount", f"type=bind,src={lent},dst={IN_CONTAINER},readonly"),
            *("--env", f"HF_TOKEN_PATH={IN_CONTAINER}"),
        ]
    finally:
        if lent is not found:
            lent.unlink(missing_ok=True)


def header(ctx: Context, endpoint: str) -> str | None:
    """The value of ``Authorization`` for a request of our own to the hub; None where it may not go."""
    token = (device.text(ctx, FILE) or "").strip()
    return f"Bearer {token}" if token and may_see(endpoint) else None
