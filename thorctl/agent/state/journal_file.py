"""state.json: the journal on disk. It is read whole or not at all, never guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.files import read_json
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.state import disk_reserve
from thorctl.agent.state.disk_errors import FULL
from thorctl.agent.state.journal import Journal, from_document
from thorctl.protocol.states import ACTIVATING, TRIAL

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.paths import Paths

REMEDY = (
    "Check the disk (`dmesg`, `smartctl` on the device): the agent writes this file whole. Then "
    "record the committed release there: `sudo thor-agent recover --committed ID` (or `none`)."
)


def load(paths: Paths) -> Journal:
    """The journal; a device on which nothing was ever activated has none and is ``empty``.

    Raises:
        AgentError: ``journal_corrupt``.
    """
    try:
        document = read_json(paths.journal)
        if document is not None:
            return from_document(document)
    except (ValueError, OSError) as fault:
        raise _corrupt(f"{paths.journal} cannot be read: {fault}") from fault
    if paths.engine_unit.exists():
        # The journal is written before the first unit is installed: it was there.
        raise _corrupt(f"{paths.journal} is gone although {paths.engine_unit.name} is installed")
    return Journal()


def save(ctx: Context, journal: Journal) -> None:
    """Make ``journal`` what a restart will find: durable when this returns.

    Raises:
        OSError: could not be written; the one before still stands.
    """
    try:
        ctx.files.write_json(ctx.paths.journal, journal.document())
    except OSError as refused:
        # Setting out is not worth the ballast; ending a trial, either way, is what it is for.
        setting_out = journal.state in (ACTIVATING, TRIAL)
        if setting_out or refused.errno not in FULL or not disk_reserve.drop(ctx):
            raise
        ctx.files.write_json(ctx.paths.journal, journal.document())
    ctx.log.info(
        "state %s (current %s, target %s)", journal.state, journal.current or "-", journal.target or "-"
    )


def _corrupt(message: str) -> AgentError:
    return AgentError("journal_corrupt", message + ".", REMEDY)
