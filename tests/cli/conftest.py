"""One device for the module's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.doubles.one_device import One, one_device

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[One]:
    yield from one_device(tmp_path_factory)
