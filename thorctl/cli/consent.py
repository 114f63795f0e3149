"""Which verbs change devices, and the user's consent: asked on a terminal, given by ``--yes`` elsewhere."""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING, Any

import click

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.cli.context import Context


class Consent(Enum):
    """The effect of a verb on devices, which decides whether it asks."""

    READS = "changes no device"
    HERE = "changes files, the store or simulated devices of this machine only"
    PASSES = "blocks a device for others, or uses its engine, for a while; the release does not change"
    FORCED = "as PASSES; with --force it overrides another operator's claim, and asks"
    ASKS = "changes what devices serve, or whether they may be changed"


_R, _H, _P, _F, _A = Consent
VERBS = {
    "activate": _A,
    "baseline forget": _H,
    "baseline show": _R,
    "bench": _P,
    "chat": _P,
    "checkpoint audit": _R,
    "checkpoint publish": _H,
    "checkpoint quantize": _H,
    "checkpoint repair": _H,
    "commit": _A,
    "doctor": _R,
    "edge ca init": _H,
    "edge cert": _H,
    "edge keys new": _H,
    "history show": _R,
    "init": _H,
    "hold release": _A,
    "hold set": _A,
    "hold show": _R,
    "lease give": _F,
    "lease show": _R,
    "lease take": _F,
    "lock": _H,
    "logs": _R,
    "preflight": _R,
    "release show": _R,
    "render": _H,
    "rollback": _A,
    "rollout abort": _A,
    "rollout approve": _A,
    "rollout pause": _P,  # nothing further begins: safe, so it should not wait for an answer
    "rollout plan": _R,
    "rollout resume": _A,
    "rollout start": _A,
    "rollout status": _R,
    "sim cut": _H,
    "sim down": _H,
    "sim inventory": _R,
    "sim list": _R,
    "sim reboot": _H,
    "sim up": _H,
    "smoke": _P,
    "stage": _A,
    "status": _R,
}


def yes_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option ``--yes`` of a verb that asks."""
    words = "Do not ask. Required without a terminal, and with --json."
    return click.option("-y", "--yes", is_flag=True, help=words)(function)


def agreed(context: Context, question: str, *, yes: bool) -> None:
    """Return if the user agrees; call it before any change.

    Raises:
        ThorError: ``consent_missing`` if it is impossible to ask, ``declined`` if the answer is no.
    """
    if yes:
        return
    if context.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        why = "with --json nothing is asked" if context.json else "there is no terminal to ask on"
        raise ThorError(
            "consent_missing",
            f"{question} {why[0].upper()}{why[1:]}, so nothing was done.",
            "Repeat the command with --yes.",
        )
    try:
        answer = click.confirm(question, err=True)
    except click.Abort:
        answer = False
    if not answer:
        raise ThorError(
            "declined",
            "Nothing was changed: the question was not answered with yes.",
            "Repeat the command and answer with yes to do it.",
        )
