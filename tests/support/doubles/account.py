"""An SSH server with an account of its own, its password and its sudo: no account of this machine is touched.

The protocol is asyncssh's, commands run as whoever runs the tests. ``sudo`` is a script with sudo's rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncssh

from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER = "nvidia"
PASSWORD = "not a secret"
SUDO = """#!/bin/sh
never= prompt=
while [ $# -gt 0 ]; do
  case "$1" in -n) never=1;; -p) prompt=$2; shift;; -u) shift;; --) shift; break;; -*) ;; *) break;; esac
  shift
done
if [ -s {folder}/sudo-password ]; then
  [ -z "$never" ] || {{ echo "sudo: a password is required" >&2; exit 1; }}
  for try in 1 2 3; do
    printf %s "$prompt" >&2
    IFS= read -r given || exit 1
    echo x >> {folder}/tries
    [ "$given" = "$(cat {folder}/sudo-password)" ] && break
    echo "Sorry, try again." >&2
    [ $try = 3 ] && exit 1
  done
fi
exec "$@"
"""


@dataclass
class Account:
    """A running server.

    Attributes:
        offered: the passwords that it was given.
        tries: a file with one line for each password that sudo read.
    """

    port: int
    host_key: str
    folder: Path
    offered: list[str] = field(default_factory=list)

    @property
    def sudo(self) -> Path:
        """The program."""
        return self.folder / "sudo"

    def sudo_asks(self, password: str) -> None:
        """From now on sudo wants this password; empty: none."""
        (self.folder / "sudo-password").write_text(password)
        (self.folder / "tries").write_text("")

    @property
    def tries(self) -> int:
        """How many passwords sudo has read."""
        return len((self.folder / "tries").read_text().splitlines())


class _Server(asyncssh.SSHServer):
    def __init__(self, account: Account, keys: list[bytes]) -> None:
        self._account, self._keys = account, keys

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - asyncssh's name
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        self._account.offered.append(password)
        return (username, password) == (USER, PASSWORD)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key.public_data in self._keys


async def _run(process: asyncssh.SSHServerProcess[bytes]) -> None:
    local = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", process.command or "true"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert local.stdin
    assert local.stdout
    assert local.stderr
    typed = asyncio.ensure_future(_copy(process.stdin, local.stdin, last=True))
    await asyncio.gather(_copy(local.stdout, process.stdout), _copy(local.stderr, process.stderr))
    code = await local.wait()
    typed.cancel()
    process.exit(code)


async def _copy(source: Any, target: Any, *, last: bool = False) -> None:
    while piece := await source.read(65536):
        target.write(piece)
        await target.drain()
    if last:
        target.close()


@contextlib.contextmanager
def account(folder: Path, public_key: str) -> Iterator[Account]:
    """Starts the server in a thread; ``public_key`` lets in too."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    host_key = key.export_public_key().decode().strip()
    one = Account(free_port(), host_key, folder)
    one.sudo.write_text(SUDO.format(folder=folder))
    one.sudo.chmod(0o755)
    one.sudo_asks("")
    keys = [asyncssh.import_public_key(public_key).public_data]
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        await asyncssh.create_server(
            lambda: _Server(one, keys),
            "127.0.0.1",
            one.port,
            server_host_keys=[key],
            process_factory=_run,
            encoding=None,
        )
        ready.set()

    def forever() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=forever, daemon=True)
    thread.start()
    try:
        assert ready.wait(20)
        yield one
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
