"""The one JSON object that ``thor-agent VERB`` prints."""

from __future__ import annotations

from dataclasses import field

from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.lease import Hold, Lease

AGENT_SCHEMA = 1


@dataclass(frozen=True)
class Details:
    """What decisions are made by of an error's details; None: not told.

    Attributes:
        retriable: whether another attempt may succeed with nothing changed.
        retry_after_seconds: when a hub asked to be asked again.
        lease: of ``leased``: whose it is.
        hold: of ``held``: the device's hold.
        verb: of ``busy``: the verb at work.
        holder: of ``busy``: who called it.
        since: of ``busy``: its begin, RFC 3339.
        log: of an engine that did not get ready: lines of its log.
    """

    retriable: bool | None = None
    retry_after_seconds: float | None = None
    lease: Lease | None = None
    hold: Hold | None = None
    verb: str | None = None
    holder: str | None = None
    since: str | None = None
    log: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Fault:
    """Why a verb of the agent failed.

    Attributes:
        code: stable word; ``protocol.errors`` lists them.
        message: what is wrong, one sentence.
        remedy: what to do next; ``DEVICE`` stands for the device's name, which the agent does not know.
        details: facts for machines; ``Details`` has those that decisions are made by.
    """

    code: str
    message: str = ""
    remedy: str = ""
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentAnswer:
    """The agent's object.

    Attributes:
        schema: ``AGENT_SCHEMA``.
        verb: as called; ``?`` where the call could not be read.
        ok: whether the verb did what it was asked.
        changed: whether something on the device differs from before the call.
        data: the verb's data, of the class that ``protocol.verbs`` names; of a failed verb as far as known.
        error: None exactly if ``ok``.
    """

    schema: int
    verb: str
    ok: bool
    changed: bool = False
    data: dict[str, object] = field(default_factory=dict)
    error: Fault | None = None
