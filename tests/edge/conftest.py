"""An upstream that records, and an edge in front of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.edge.edge_process import ALICE, BOB, Edge, free_port, issue, now
from tests.edge.upstream import Upstream
from thorctl.edge import authority

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as one:
        yield one


@pytest.fixture
def edge(upstream: Upstream) -> Iterator[Edge]:
    """A running edge with two keys, limits no test meets by accident."""
    # Not tmp_path: its name may be longer than a unix socket's can be, and workers are not root.
    folder = Path(tempfile.mkdtemp(prefix="edge-"))
    folder.chmod(0o711)
    ca = authority.new_authority("test", now(), 3650)
    one = Edge(
        folder,
        ca,
        {
            "keys": {"alice": ALICE, "bob": BOB},
            "port": free_port(),
            "engine_port": upstream.port,
            "requests_per_minute": 60_000,
            "burst": 1000,
            "body_bytes": 64 * 1024,
            **issue(ca),
        },
    )
    try:
        one.start()
        yield one
    finally:
        one.stop()
        shutil.rmtree(folder)
