"""An upstream that records, and an edge or a door in front of it."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.edge.edge_process import ALICE, BOB, Door, Edge, issue, now
from tests.edge.upstream import Upstream
from thorctl.edge import authority
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that nginx's account can enter. Not tmp_path, whose name may be too long for a Unix socket."""
    one = Path(tempfile.mkdtemp(prefix="edge-"))
    one.chmod(0o711)
    yield one
    shutil.rmtree(one)


@pytest.fixture
def upstream(folder: Path) -> Iterator[Upstream]:
    with Upstream(folder / "engine.sock") as one:
        yield one


@pytest.fixture
def edge(folder: Path, upstream: Upstream) -> Iterator[Edge]:
    """A running edge with two keys, limits no test meets by accident."""
    ca = authority.new_authority("test", now() - dt.timedelta(days=30), 3650)
    settings = {
        "keys": {"alice": ALICE, "bob": BOB},
        "port": free_port(),
        "requests_per_minute": 60_000,
        "burst": 1000,
        "body_bytes": 64 * 1024,
        **issue(ca),
    }
    one = Edge(folder, settings, upstream.socket, ca=ca)
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture
def door(folder: Path, upstream: Upstream) -> Iterator[Door]:
    """A running door in its default mode."""
    one = Door(folder, {"port": free_port(), "body_bytes": 64 * 1024}, upstream.socket)
    try:
        one.start()
        yield one
    finally:
        one.stop()
