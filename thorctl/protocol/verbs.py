"""The verbs of ``thor-agent``: what each takes, what it may change, and the default time limit of a call."""

from __future__ import annotations

from importlib import import_module
from typing import Literal

from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.jobs import LONGEST_WAIT_SECONDS

STATE_LOCK = "lock"  # the journal and what runs
STAGE_LOCK = "stage.lock"  # bytes on disk: a rollback never waits for a download

MINUTE = 60.0
HOUR = 3600.0


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        name: as on the command line.
        seconds: default time limit of a caller, from the call to the answer.
        takes: a release document on standard input (``document``) or a release's id as an argument (``id``).
        locks: taken in this order on the device; a verb without a lock changes nothing.
        leased: refused while somebody else holds the device's lease.
        yields: succeeds without work while its lock is held, as the lock's owner does that work.
        detached: may run in a transient unit and outlive its caller.
        dry_run: has the option ``--dry-run``.
        internal: called by units of the device, never by a controller.
        data: ``module:class`` of its data, below ``thorctl.protocol``; empty: not in the contract.
        planned: the same with ``--dry-run``, where that is another class.
    """

    name: str
    seconds: float = MINUTE
    takes: Literal["document", "id"] | None = None
    locks: tuple[str, ...] = ()
    leased: bool = True
    yields: bool = False
    detached: bool = False
    dry_run: bool = False
    internal: bool = False
    data: str = ""
    planned: str = ""

    @property
    def data_class(self) -> type | None:
        """The class of its data; imported when asked for, as a verb on the device needs its own alone."""
        return _class(self.data)

    @property
    def planned_class(self) -> type | None:
        """The class of its data with ``--dry-run``, where that is another one."""
        return _class(self.planned)

    @property
    def reads_only(self) -> bool:
        """True if it changes nothing: no lock, no lease, no event."""
        return not self.locks


def _class(place: str) -> type | None:
    module, _, name = place.partition(":")
    return getattr(import_module(f"thorctl.protocol.{module}"), name) if name else None


_ALL = (
    Verb("facts", data="facts:Facts"),
    Verb(
        "preflight", 5 * MINUTE, "document", data="preflight:PreflightReport"
    ),  # facts, and each file of the checkpoint that is there
    Verb("plan", 5 * MINUTE, "document", data="results:Planned"),
    # A device that needs longer for its own status is in trouble.
    Verb("status", MINUTE / 2, data="status:Status"),
    Verb("result", LONGEST_WAIT_SECONDS + MINUTE),
    Verb("job", internal=True),  # by the unit of a detached verb
    Verb("connect", internal=True, data="results:Connected"),
    Verb("engine-prepare", internal=True),  # by the engine's unit, while a verb holds the lock
    Verb("stage", 6 * HOUR, "document", (STAGE_LOCK,), detached=True, data="results:Staged"),
    Verb("activate", HOUR, "id", (STATE_LOCK,), detached=True, data="results:Activated"),
    # Ten generations, and before them a first start that may still compile.
    Verb("smoke", 30 * MINUTE, "id", (STATE_LOCK,), detached=True, data="smoke:SmokeReport"),
    # Nothing may change meanwhile.
    Verb(
        "bench",
        2.5 * HOUR,
        "id",
        (STATE_LOCK,),
        detached=True,
        dry_run=True,
        data="bench:Measurement",
        planned="bench:BenchPlan",
    ),
    Verb("review", 2 * MINUTE, "id", (STATE_LOCK,), data="results:Reviewed"),
    Verb("soak", 2 * MINUTE, locks=(STATE_LOCK,), data="status:SoakShown"),
    # By the soak's transient unit, for as long as the trial lasts.
    Verb("soak-work", internal=True, data="status:SoakShown"),
    Verb("commit", 2 * MINUTE, "id", (STATE_LOCK,), data="results:Committed"),
    # The engine may have to compile its kernels again.
    Verb("rollback", HOUR, "id", (STATE_LOCK,), detached=True, data="results:RolledBack"),
    Verb("recover", HOUR, locks=(STATE_LOCK,), leased=False, yields=True, data="results:Recovered"),
    Verb("gc", 2 * MINUTE, locks=(STATE_LOCK, STAGE_LOCK), dry_run=True, data="results:Collected"),
    Verb("lease", 2 * MINUTE, locks=("lease.lock",), leased=False, data="lease:LeaseShown"),
    Verb("hold", 2 * MINUTE, locks=("hold.lock",), leased=False, data="lease:HoldShown"),
)
VERBS = {verb.name: verb for verb in _ALL}
