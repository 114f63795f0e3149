"""``thor-agent``: parse, dispatch, print one JSON object, exit 0 to 3 (docs/reference/interfaces.md)."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.core import signals
from thorctl.agent.core.arguments import parser
from thorctl.agent.core.clock import Clock
from thorctl.agent.core.context import Context
from thorctl.agent.core.dispatch import dispatch
from thorctl.agent.core.docker_api import DockerApi, socket_from
from thorctl.agent.core.files import Files
from thorctl.agent.core.holder import holder_from
from thorctl.agent.core.login import remote_address
from thorctl.agent.core.logs import make_logger
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.core.paths import Paths
from thorctl.agent.core.progress import Progress
from thorctl.agent.core.runner import Runner

if TYPE_CHECKING:
    import argparse


def make_context(args: argparse.Namespace) -> Context:
    """Return the context of this machine: its clock, programs, files and Docker engine."""
    paths = Paths(args.root)
    clock = Clock()
    return Context(
        paths=paths,
        runner=Runner(),
        clock=clock,
        files=Files(),
        docker=DockerApi(socket_from(os.environ, args.root)),
        holder=holder_from(args.holder, os.environ, remote_address(paths)),
        log=make_logger(as_json=args.json_logs),
        progress=Progress(paths, clock, args.verb),
    )


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return the exit code."""
    verb = "?"
    try:
        args = parser().parse_args(argv)
        verb = args.verb
        signals.install()
        outcome = dispatch(make_context(args), args)
    except AgentError as bad_call:
        outcome = Outcome.of_error(bad_call)
    # The caller may have disconnected (SSH): the verb completes all the same.
    with suppress(BrokenPipeError):
        text = json.dumps(outcome.document(verb), ensure_ascii=False) + "\n"
        sys.stdout.write(text.encode(errors="backslashreplace").decode())
        sys.stdout.flush()
        if outcome.then:
            outcome.then()
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
