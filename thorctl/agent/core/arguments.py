"""The command line of ``thor-agent``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from thorctl.agent.core.outcome import AgentError

LEASE_SECONDS = 3600
DEADLINE_SECONDS = 3600  # long enough for a smoke test and an inspection, short enough for one night shift
KEEP_RELEASES = 1
REVIEW_SECONDS = 86400  # time for an operator to inspect the release
BENCH_SECONDS = 1800.0  # one measurement takes one to two minutes on a Thor, more on a CPU


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise AgentError("bad_call", f"{self.prog}: {message}", f"See `{self.prog} --help`.")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs (docs/reference/interfaces.md "The device")."""
    top = _Parser(prog="thor-agent", description="Release states, verification and smoke test of one device.")
    top.add_argument("--root", type=Path, default=Path("/"), help="directory used as / (default: /)")
    top.add_argument("--holder", help="the caller, and the purpose in brackets (default: the SSH login)")
    top.add_argument("--json-logs", action="store_true", help="write log lines on stderr as JSON objects")
    _detached(top)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)

    verbs.add_parser("facts", help="read this device's hardware and condition; reads only")
    preflight = verbs.add_parser("preflight", help="check whether the device can run the release; reads only")
    _release_file(preflight)
    preflight.add_argument("--skip", default="", metavar="NAME,…", help="checks to lower to a warning")
    preflight.add_argument("--settings", action="store_true", help="add the text of daemon.json to the facts")
    plan = verbs.add_parser("plan", help="list what stage and activate would do; changes nothing")
    _release_file(plan)
    stage = verbs.add_parser(
        "stage", help="fetch and verify all parts of a release; nothing that runs changes"
    )
    _release_file(stage)
    activate = verbs.add_parser("activate", help="switch to a staged release and begin its trial")
    activate.add_argument("id", metavar="ID")
    activate.add_argument(
        "--deadline", type=int, default=DEADLINE_SECONDS, metavar="SECONDS", help="length of the trial"
    )
    activate.add_argument(
        "--wait-hold",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="longest wait for the end of the device's hold (default: 0)",
    )
    activate.add_argument("--over-hold", metavar="REASON", help="override the hold with this reason")
    smoke = verbs.add_parser("smoke", help="generate text with the running release and check it")
    smoke.add_argument("id", metavar="ID", nargs="?")
    _bench(verbs)
    review = verbs.add_parser(
        "review", help="extend the trial of a first release whose smoke test failed; once"
    )
    review.add_argument("id", metavar="ID", nargs="?")
    review.add_argument("--seconds", type=int, default=REVIEW_SECONDS, metavar="N", help="from now (86400)")
    _soak(verbs)
    commit = verbs.add_parser("commit", help="keep the release on trial")
    commit.add_argument("id", metavar="ID", nargs="?")
    commit.add_argument("--without-smoke", action="store_true", help="commit without a passed smoke test")
    commit.add_argument(
        "--accept-failed-smoke",
        metavar="REASON",
        help="commit a device's first release although its smoke test failed",
    )
    rollback = verbs.add_parser("rollback", help="restore the previous release; needs no network")
    rollback.add_argument("id", metavar="ID", nargs="?", help="the release to leave")
    rollback.add_argument("--reason", default="", metavar="TEXT")
    # Options of the deadline's timer: act only if the device is still in the timer's state.
    rollback.add_argument("--only-in", metavar="STATE:NUMBER", help=argparse.SUPPRESS)
    # Seconds for which it only waits for the lock; a process that dies releases it.
    rollback.add_argument("--leave-alone", type=float, default=0.0, metavar="SECONDS", help=argparse.SUPPRESS)
    recover = verbs.add_parser("recover", help="complete what a crash or reboot interrupted (runs at boot)")
    recover.add_argument(
        "--committed", metavar="ID|none", help="after journal_corrupt: the committed release of this device"
    )
    verbs.add_parser("status", help="show the device's state; reads only, takes no lock")
    _jobs(verbs)
    # For a login without access to the engine's socket; HTTP follows the JSON object.
    verbs.add_parser("connect", help="relay standard input and output to the engine's socket")
    prepare = verbs.add_parser("engine-prepare", help=argparse.SUPPRESS)  # the engine's unit calls it
    prepare.add_argument("id", metavar="ID")
    gc = verbs.add_parser("gc", help="delete releases, checkpoints and images that no state needs")
    gc.add_argument(
        "--keep", type=int, default=KEEP_RELEASES, metavar="N", help="number of other staged releases to keep"
    )
    gc.add_argument("--dry-run", action="store_true", help="list without deleting")
    _lease_and_hold(verbs)
    return top


def _detached(top: argparse.ArgumentParser) -> None:
    top.add_argument(
        "--detach", action="store_true", help="run the verb in a transient unit; `result` has its answer"
    )
    top.add_argument(
        "--request",
        metavar="NAME",
        help="name of the job; a repeated request is run once (default: random)",
    )
    top.add_argument(
        "--limit", type=int, metavar="SECONDS", help="time limit of the job (default: the verb's own)"
    )


def _jobs(verbs: argparse._SubParsersAction[_Parser]) -> None:
    result = verbs.add_parser("result", help="answer of a detached verb, or its progress; reads only")
    result.add_argument("job", metavar="JOB")
    result.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="longest wait for its end (0 to 300)"
    )
    result.add_argument(
        "--progress", type=float, metavar="SECONDS", help="interval of progress on stderr (default: none)"
    )
    job = verbs.add_parser("job", help=argparse.SUPPRESS)  # the job's unit calls it
    job.add_argument("name")


def _release_file(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--release", required=True, metavar="FILE|-", help="the release document; - is stdin")


def _bench(verbs: argparse._SubParsersAction[_Parser]) -> None:
    bench = verbs.add_parser("bench", help="measure the running release's speed by the model card's method")
    bench.add_argument("id", metavar="ID", nargs="?")
    bench.add_argument("--quick", action="store_true", help="use small sizes: a minute instead of five")
    bench.add_argument("--tokens", type=int, metavar="N", help="tokens of each answer (256; quick: 32)")
    bench.add_argument("--requests", type=int, metavar="N", help="requests measured one by one (8; quick: 3)")
    bench.add_argument("--rounds", type=int, metavar="N", help="batches of several streams (4; quick: 1)")
    bench.add_argument("--at-once", type=int, metavar="N", help="streams of a batch (16)")
    bench.add_argument(
        "--timeout", type=float, default=BENCH_SECONDS, metavar="SECONDS", help="limit of each part (1800)"
    )
    bench.add_argument("--dry-run", action="store_true", help="list the measurements without running them")


def _soak(verbs: argparse._SubParsersAction[_Parser]) -> None:
    soak = verbs.add_parser("soak", help="load-test the release on trial and watch it")
    soak.add_argument("action", choices=["start", "show"])
    soak.add_argument("id", metavar="ID", nargs="?")
    soak.add_argument("--steps", type=int, default=20000, metavar="N", help="decode steps (20000)")
    soak.add_argument("--concurrency", type=int, default=4, metavar="N", help="concurrent streams (4)")
    soak.add_argument(
        "--minimum-rate", type=float, default=8.0, metavar="N", help="lowest accepted steps per second (8)"
    )
    soak.add_argument(
        "--pause-seconds", type=int, default=1800, metavar="SECONDS",
        help="longest total pause for holds and other requests (1800)",
    )  # fmt: skip
    work = verbs.add_parser("soak-work", help=argparse.SUPPRESS)
    work.add_argument("activation", type=int)


def _lease_and_hold(verbs: argparse._SubParsersAction[_Parser]) -> None:
    lease = verbs.add_parser("lease", help="one operator's right to change this device")
    lease.add_argument("action", choices=["take", "give", "show"])
    lease.add_argument("--reason", default="", metavar="TEXT")
    lease.add_argument("--ttl", type=int, default=LEASE_SECONDS, metavar="SECONDS")
    lease.add_argument("--force", action="store_true", help="override another holder's lease")
    hold = verbs.add_parser("hold", help="the device's own veto against activation")
    hold.add_argument("action", metavar="set|clear|show", help='or a reason: hold "on patrol"')
    hold.add_argument("reason", nargs="?", default="")
