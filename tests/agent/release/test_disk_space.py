"""The disk arithmetic that preflight, plan and stage share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.device_double import make_release
from thorctl.agent.release.disk_space import Required, required_bytes, shortfalls
from thorctl.protocol.facts import Space

RELEASE = make_release().document  # image 1000 compressed, ratio 3, checkpoint 500, reserve 200


def test_a_bare_device_needs_image_unpack_copy_checkpoint_and_reserve() -> None:
    assert required_bytes(RELEASE) == Required(4000, 500, 200)
    assert required_bytes(RELEASE).total_bytes == 4700


def test_what_is_there_is_not_needed_again() -> None:
    assert required_bytes(RELEASE, image_present=True) == Required(0, 500, 200)
    assert required_bytes(RELEASE, checkpoint_present_bytes=400) == Required(4000, 100, 200)
    assert required_bytes(RELEASE, image_present=True, checkpoint_present_bytes=500).total_bytes == 0


@pytest.mark.parametrize(
    ("state", "docker", "same", "short"),
    [
        (4700, 4700, True, []),
        (4699, 4699, True, ["state and docker"]),
        (4699, 4699, None, ["state and docker"]),
        (700, 4200, False, []),
        (699, 4200, False, ["state"]),
        (700, 4199, False, ["docker"]),
        (None, 4200, False, ["state"]),
        (9999, None, True, ["state and docker"]),
        (None, None, None, ["state and docker"]),
    ],
)
def test_shortfalls(state: int | None, docker: int | None, same: bool | None, short: list[str]) -> None:
    found = shortfalls(
        required_bytes(RELEASE), Space(state_free_bytes=state, docker_free_bytes=docker, same_filesystem=same)
    )
    assert [shortfall.filesystem for shortfall in found] == short


def test_nothing_to_write_fits_everywhere() -> None:
    nothing = required_bytes(RELEASE, image_present=True, checkpoint_present_bytes=500)
    assert shortfalls(nothing, Space()) == []


sizes = st.integers(0, 10**12)


@given(sizes, sizes, sizes, sizes)
def test_a_shared_disk_is_never_judged_more_leniently(
    image: int, checkpoint: int, reserve: int, free: int
) -> None:
    required = Required(image, checkpoint, reserve)
    shared = shortfalls(required, Space(state_free_bytes=free, docker_free_bytes=free, same_filesystem=True))
    apart = shortfalls(required, Space(state_free_bytes=free, docker_free_bytes=free, same_filesystem=False))
    assert bool(shared) >= bool(apart)
