"""Licences: one name whoever writes it, which have to be accepted, and by what words."""

from __future__ import annotations

from typing import Any

import pytest

from thorctl.errors import ThorError
from thorctl.release import licenses


@pytest.mark.parametrize(
    ("spdx", "hub"),
    [
        ("AGPL-3.0-only", "agpl-3.0"),
        ("AGPL-3.0-or-later", "AGPL-3.0"),
        ("Apache-2.0", "apache-2.0"),
        ("GPL-2.0+", "gpl-2.0"),
        ("Qwen Research", "qwen-research"),
    ],
)
def test_spdx_and_the_hub_mean_the_same(spdx: str, hub: str) -> None:
    assert licenses.same(spdx, hub)


@pytest.mark.parametrize("name", ["Apache-2.0", "apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0"])
def test_what_asks_for_attribution_only(name: str) -> None:
    assert not licenses.must_be_accepted(name)


@pytest.mark.parametrize(
    "name",
    ["AGPL-3.0-only", "gpl-3.0", "other", "unknown", "llama3.1", "gemma", "cc-by-nc-4.0", "MIT AND other"],
)
def test_every_other_one_is_for_a_person_to_read(name: str) -> None:
    assert licenses.must_be_accepted(name)


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        (None, None),
        ({}, None),
        ({"license": None}, None),
        ({"license": ""}, None),
        ({"license": "agpl-3.0"}, "agpl-3.0"),
        ({"license": "other"}, "other"),
        ({"license": "other", "license_name": "qwen-research"}, "qwen-research"),
        ({"license": ["mit", "apache-2.0"]}, "mit AND apache-2.0"),
    ],
)
def test_what_a_model_card_says(metadata: dict[str, Any] | None, found: str | None) -> None:
    assert licenses.of_card(metadata) == found


@pytest.mark.parametrize(
    ("license_", "before", "words", "recorded"),
    [
        ("Apache-2.0", None, [], None),
        ("Apache-2.0", None, ["apache-2.0"], None),
        ("AGPL-3.0-only", None, [], None),
        ("AGPL-3.0-only", None, ["agpl-3.0"], "AGPL-3.0-only"),
        ("AGPL-3.0-only", "AGPL-3.0-only", [], "AGPL-3.0-only"),
        ("gpl-3.0", "AGPL-3.0-only", [], "AGPL-3.0-only"),
        ("Apache-2.0", "AGPL-3.0-only", [], None),
    ],
)
def test_what_is_recorded(license_: str, before: str | None, words: list[str], recorded: str | None) -> None:
    assert licenses.acceptance(license_, before, words) == recorded


def test_another_licence_cannot_be_accepted_in_its_place() -> None:
    with pytest.raises(ThorError, match=r"the checkpoint's licence is AGPL-3\.0-only") as caught:
        licenses.acceptance("AGPL-3.0-only", None, ["MIT"])
    assert (caught.value.code, caught.value.exit_code) == ("usage", 2)


def test_a_licence_that_was_accepted_is_named_beside_the_one_that_was_not() -> None:
    licenses.require_acceptance("p", "AGPL-3.0-only", "agpl-3.0")
    with pytest.raises(ThorError, match=r"under other.*The accepted licence is AGPL-3\.0-only") as caught:
        licenses.require_acceptance("p", "other", "AGPL-3.0-only")
    assert "--accept-license other" in caught.value.remedy
    with pytest.raises(ThorError, match=r"requires publishing its source.*It has not been accepted"):
        licenses.require_acceptance("p", "AGPL-3.0-only", None)


def test_a_card_that_says_nothing_contradicts_nobody() -> None:
    licenses.require_agreement("p", "Apache-2.0", None)
    with pytest.raises(ThorError, match=r"agpl-3\.0 in the model card and Apache-2\.0 in the profile 'p'"):
        licenses.require_agreement("p", "Apache-2.0", "agpl-3.0")
