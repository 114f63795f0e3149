"""Ansible from processes that have loaded it: a start takes a tenth of the processor time.

Most of a short run of Ansible is the import of its code. A server imports it once and forks for each run; the
run has its own arguments, environment, directory and streams. Settings that Ansible reads at import (its
configuration file, ``ANSIBLE_…``) must be the server's: a run with other ones gets a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGURATION = CHECKOUT / "playbooks" / "ansible.cfg"
_PROGRAMS = {
    "listing": (sys.executable, "-P", "-m", "thorctl.ansible_support.listing"),
    "playbook": (str(Path(sys.executable).parent / "ansible-playbook"),),
}
# Settings of runs that may share a server; a configuration file is shared if it is this checkout's.
_SHARED = frozenset(
    {
        "ANSIBLE_CONFIG",
        "ANSIBLE_DEPRECATION_WARNINGS",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED",
        "ANSIBLE_NOCOLOR",
    }
)
_LENGTH = 1 << 20  # bytes of a request
_servers: dict[tuple[str, ...], Server] = {}


class Server:
    """One process with Ansible in memory, for runs with the same settings."""

    def __init__(self, environment: dict[str, str], folder: str) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env=environment,
                cwd=folder,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def run(self, request: dict[str, Any], streams: list[int]) -> int:
        """Run to the end; a test's time limit ends the server with the run."""
        try:
            socket.send_fds(self._channel, [json.dumps(request).encode()], streams)
            return int(self._channel.recv(_LENGTH))
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Kill it and what it runs."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()
        for key in [key for key, one in _servers.items() if one is self]:
            del _servers[key]


def end() -> None:
    """End all servers."""
    for server in [*_servers.values()]:
        server.end()


def _server(environment: dict[str, str], folder: str) -> Server | None:
    """The server for these settings; None: they are of this run alone."""
    ours = {name: value for name, value in environment.items() if name.startswith("ANSIBLE_")}
    here = Path(folder, "ansible.cfg")
    config = Path(ours["ANSIBLE_CONFIG"]) if "ANSIBLE_CONFIG" in ours else here if here.exists() else None
    if ours.keys() - _SHARED or config not in {None, CONFIGURATION}:
        return None
    if environment.get("HOME") != os.environ.get("HOME"):
        return None
    key = (str(config), *(f"{name}={value}" for name, value in sorted(ours.items())), environment["LC_ALL"])
    if key not in _servers:
        _servers[key] = Server(environment, folder)
    return _servers[key]


def run(
    command: list[str], *, env: dict[str, str], cwd: Path | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` with captured output, for a listing or a playbook with the server's settings.

    Args:
        command: another program, or one with settings of its own, runs in a process of its own.
        env: its whole environment.
        cwd: its directory; by default, this process's.
        options: of `subprocess.run`, for a process of its own.
    """
    folder = str(cwd or Path.cwd())
    kind = next((kind for kind, one in _PROGRAMS.items() if tuple(command[: len(one)]) == one), None)
    server = _server(env, folder) if kind else None
    if not kind or not server:
        return subprocess.run(command, env=env, cwd=cwd, check=options.pop("check", False), **options)
    words = command[len(_PROGRAMS[kind]) :]
    request = {"kind": kind, "words": words, "environment": env, "folder": folder}
    joined = options.get("stderr") == subprocess.STDOUT
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open() as none:
        code = server.run(request, [none.fileno(), out.fileno(), (out if joined else err).fileno()])
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode())
    return subprocess.CompletedProcess(command, code, *texts)


def _serve(channel: socket.socket) -> None:
    import ansible.cli.inventory
    import ansible.cli.playbook  # noqa: F401 - forks find it imported

    import thorctl.ansible_support.listing  # noqa: F401 - as above

    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _LENGTH, 3)
        if not message:
            return
        child = os.fork()
        if not child:
            _become(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Run the request in this process and end."""
    code: Any = 1
    try:
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        time.tzset()
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
        if request["kind"] == "listing":
            from thorctl.ansible_support.listing import Listing

            Listing.cli_executor(["ansible-inventory", *request["words"]])
        else:
            from ansible.cli.playbook import PlaybookCLI

            PlaybookCLI.cli_executor(["ansible-playbook", *request["words"]])
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001 - as Python itself would end
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)  # without the server's own clearing up


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
