"""The hub's token, where this device has one. It goes from its file to the hub and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent import device

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.context import Context

FILE = "/etc/thor/hub-token"  # root, 0600; written by Ansible (role thor_host)
IN_CONTAINER = "/run/secrets/hub-token"


def file(ctx: Context) -> Path | None:
    """The file, if there is a token in it."""
    return ctx.paths.at(FILE) if (device.text(ctx, FILE) or "").strip() else None


def mount(ctx: Context) -> list[str]:
    """Options of ``docker run`` that give the token to ``hf`` (HF_TOKEN_PATH).

    As a file: an environment variable would be read by ``docker inspect``, an argument by ``ps``.
    """
    found = file(ctx)
    if found is None:
        return []
    return [
        *("--mount", f"type=bind,src={found},dst={IN_CONTAINER},readonly"),
        *("--env", f"HF_TOKEN_PATH={IN_CONTAINER}"),
    ]


def header(ctx: Context) -> str | None:
    """The value of ``Authorization`` for a request of our own to the hub."""
    token = (device.text(ctx, FILE) or "").strip()
    return f"Bearer {token}" if token else None
