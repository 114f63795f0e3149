"""A header is believed only if it describes the whole file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thorctl.checkpoint.headers import header_length, parse
from thorctl.errors import ThorError
from thorctl.protocol.safetensors import LENGTH

GOOD = {
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "U8", "shape": [3], "data_offsets": [8, 11]},
}


def read(document: object, data: int = 11) -> dict[str, Any]:
    header = document if isinstance(document, bytes) else json.dumps(document).encode()
    return dict(parse(header, LENGTH.size + len(header) + data, "x.safetensors"))


def test_a_good_one() -> None:
    found = read({**GOOD, "__metadata__": {"format": "pt"}})
    assert list(found) == ["a", "b"]
    assert found["b"].bytes == 3


@pytest.mark.parametrize(
    ("document", "data"),
    [
        (GOOD, 10),
        (GOOD, 12),
        ({"a": {**GOOD["a"], "data_offsets": [4, 12]}}, 12),
        ({**GOOD, "b": {**GOOD["b"], "data_offsets": [7, 10]}}, 10),
        ({"a": {**GOOD["a"], "shape": [3]}}, 8),
        ({"a": {**GOOD["a"], "shape": [-1, -2]}}, 8),
        ({"a": {**GOOD["a"], "shape": [True, 2]}}, 8),
        ({"a": {**GOOD["a"], "dtype": "F31"}}, 8),
        ({"a": {**GOOD["a"], "dtype": ["F32"]}}, 8),
        ({"a": {"dtype": "F32"}}, 8),
        ({"a": 3}, 8),
        ([], 0),
        (b'{"a": 1, "a": 1}', 0),
        (b"[" * 100_000, 0),
        (b"\xff", 0),
    ],
)
def test_a_bad_one(document: object, data: int) -> None:
    with pytest.raises(ThorError) as caught:
        read(document, data)
    assert caught.value.code == "checkpoint_damaged"


@pytest.mark.parametrize(
    ("first", "size"), [(b"", 0), (LENGTH.pack(2**63), 100), (LENGTH.pack(93), 100), (LENGTH.pack(0), 9)]
)
def test_a_length_that_cannot_be(first: bytes, size: int) -> None:
    with pytest.raises(ThorError):
        header_length(first, size, "x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 20) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.integers(0, 20))
def test_nothing_but_a_clear_error(document: dict[str, Any], data: int) -> None:
    try:
        found = read(document, data)
    except ThorError as error:
        assert error.code == "checkpoint_damaged"  # noqa: PT017 - either way out is right
    else:
        assert sum(tensor.bytes for tensor in found.values()) == data
