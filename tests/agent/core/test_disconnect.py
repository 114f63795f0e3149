"""A verb whose answer nobody waits for ends; one whose answer goes to somebody, or to a file, does not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

VERB = """
import sys, time
from thorctl.agent.core import disconnect, signals
signals.install()
try:
    with disconnect.terminate_on_disconnect():
        print("at work", file=sys.stderr, flush=True)
        sys.stdin.read()  # the test says when the work is done
        time.sleep(float(sys.argv[1]))
except signals.Interrupted as told:
    sys.exit(f"stopped by {told}")
"""


def start(answer: int, seconds: float = 0.0) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", VERB, str(seconds)],
        stdin=subprocess.PIPE,
        stdout=answer,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"at work\n"
    return process


@pytest.mark.parametrize("kind", ["pipe", "socket"])  # sshd hands programs a socket
def test_it_ends_when_the_reader_goes(kind: str) -> None:
    if kind == "pipe":
        reader, writer = os.pipe()
    else:
        ours, theirs = socket.socketpair()
        reader, writer = ours.detach(), theirs.detach()
    with start(writer) as process:
        os.close(writer)
        os.close(reader)
        assert process.wait(60) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b"stopped by SIGTERM\n"


def test_it_works_on_for_whoever_only_has_no_more_to_say() -> None:
    """sshd shuts its side for writing as soon as the client has nothing to send."""
    ours, theirs = socket.socketpair()
    with start(theirs.fileno(), 3.0) as process:
        theirs.close()
        ours.shutdown(socket.SHUT_WR)
        process.communicate()
        assert process.returncode == 0
    ours.close()


def test_a_file_is_always_there(tmp_path: Path) -> None:
    with (tmp_path / "answer").open("wb") as answer, start(answer.fileno(), 3.0) as process:
        process.communicate()
        assert process.returncode == 0


def test_what_is_done_is_not_ended_any_more() -> None:
    reader, writer = os.pipe()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            VERB.replace("except", "    import os; os.close(1); time.sleep(3)\nexcept"),
            "0",
        ],
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(reader)
    os.close(writer)
    assert done.returncode == 0, signal.strsignal(-done.returncode)
