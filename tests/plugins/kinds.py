"""Marks by what a test uses: ``slow`` if a fixture starts a server; ``root`` skips without root.

``make quick`` runs what has neither mark, needs no simulated device and no vLLM.
"""

from __future__ import annotations

import os

import pytest

# Fixtures that start sshd, nginx, a container registry or an environment with llm-compressor.
SERVERS = frozenset({"sshd", "start_registry", "door", "edge", "made", "thorctl_quantize"})


@pytest.hookimpl(tryfirst=True)  # before ``-m`` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a server."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what only root can do."""
    if item.get_closest_marker("root") and os.geteuid():
        pytest.skip("needs root")
