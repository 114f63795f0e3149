"""Whose listener is taken for the door's."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.device_double import make_context
from thorctl.agent.facts import ports
from thorctl.agent.parsers import sockets

if TYPE_CHECKING:
    import pytest

    from thorctl.agent.core.context import Context

DOOR_UID = 64321


def listening(tmp_path: Path, *, uid: int) -> tuple[Context, int, socket.socket]:
    """A listener that a process of ``uid`` holds, in a cgroup with the name of the door's unit."""
    server = socket.create_server(("127.0.0.1", 0))
    ctx, port = make_context(tmp_path), int(server.getsockname()[1])
    process = ctx.paths.at("/proc/4242")
    (process / "fd").mkdir(parents=True)
    inode = os.fstat(server.fileno()).st_ino
    (process / "fd/3").symlink_to(f"socket:[{inode}]")
    (process / "comm").write_text("nginx\n")
    (process / "cgroup").write_text("0::/user.slice/user-1000.slice/user@1000.service/thor-door.service\n")
    net = ctx.paths.at("/proc/net")
    net.mkdir(parents=True)
    row = f"0: 0100007F:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 {inode} 1"
    (net / "tcp").write_text(f"  sl  local_address\n{row}\n")
    os.chown(process, uid, uid)
    return ctx, port, server


def test_a_cgroup_named_like_the_door_s_is_not_the_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = pwd.struct_passwd(("thor-door", "x", DOOR_UID, DOOR_UID, "", "/", "/usr/sbin/nologin"))
    monkeypatch.setattr(pwd, "getpwnam", lambda _: account)
    for uid, is_door in ((1000, False), (DOOR_UID, True)):
        ctx, port, server = listening(tmp_path / str(uid), uid=uid)
        with server:
            found = ports.listener(ctx, port)
        assert found is not None
        assert (found.name, found.is_door) == ("nginx", is_door)


def test_a_local_user_on_another_address_is_no_obstacle() -> None:
    """127.0.0.2 at the door's port is anybody's: that must keep no release from being activated."""
    server = socket.create_server(("127.0.0.1", 0))
    port = int(server.getsockname()[1])
    with server, socket.create_server(("127.0.0.2", port)) as other:
        inodes = [os.fstat(one.fileno()).st_ino for one in (server, other)]
        tables = [Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6")]
        assert sockets.listening_inodes(tables, port) == {inodes[0]}
    with socket.create_server(("127.0.0.2", port)):
        tables = [Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6")]
        assert sockets.listening_inodes(tables, port) == set()


def test_any_address_is_127_0_0_1_too() -> None:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - asked for
        with socket.create_server((address, 0), family=family) as server:
            tables = [Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6")]
            inode = os.fstat(server.fileno()).st_ino
            assert sockets.listening_inodes(tables, server.getsockname()[1]) == {inode}
