"""Which verbs there are and which lock each takes. One verb, one module with ``run(ctx, args)``."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from thorctl.agent.core.context import Context
    from thorctl.agent.core.outcome import Outcome

STATE_LOCK = "lock"  # the journal and what runs
STAGE_LOCK = "stage.lock"  # bytes on disk: a rollback never waits for a download


@dataclass(frozen=True)
class Verb:
    """``locks``: taken in this order, none for a reading verb. ``leased``: refused under another's lease.

    ``yields``: if the lock is held there is nothing for it to do, as whoever holds it is at work.
    """

    name: str
    locks: tuple[str, ...] = ()
    leased: bool = True
    yields: bool = False

    @property
    def reads_only(self) -> bool:
        """True if it changes nothing: no lock, no lease, no event."""
        return not self.locks

    def load(self) -> Callable[[Context, argparse.Namespace], Outcome]:
        """The verb's function; imported only when asked for, so that status starts fast."""
        module = importlib.import_module(f"thorctl.agent.verbs.{self.name.replace('-', '_')}")
        return cast("Callable[[Context, argparse.Namespace], Outcome]", module.run)


_ALL = (
    Verb("facts"),
    Verb("preflight"),
    Verb("plan"),
    Verb("status"),
    Verb("connect"),
    Verb("engine-prepare"),  # by the engine's unit, while a verb holds the lock
    Verb("stage", (STAGE_LOCK,)),
    Verb("activate", (STATE_LOCK,)),
    Verb("smoke", (STATE_LOCK,)),
    Verb("bench", (STATE_LOCK,)),  # changes nothing, but nothing may change under it
    Verb("review", (STATE_LOCK,)),
    Verb("soak", (STATE_LOCK,)),
    Verb("soak-work"),  # by the soak's transient unit, for as long as the trial lasts
    Verb("commit", (STATE_LOCK,)),
    Verb("rollback", (STATE_LOCK,)),
    Verb("recover", (STATE_LOCK,), leased=False, yields=True),
    Verb("gc", (STATE_LOCK, STAGE_LOCK)),
    Verb("lease", ("lease.lock",), leased=False),
    Verb("hold", ("hold.lock",), leased=False),
)
VERBS = {verb.name: verb for verb in _ALL}
