"""The real parsers of vLLM 0.19 and 0.32 take every serve.yaml, and take it as it was meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.system.contract import parsers
from tests.system.contract.renderings import renderings
from thorctl.release import vllm_options
from thorctl.release.switches import OPTIONS

pytestmark = pytest.mark.vllm


@pytest.mark.parametrize("version", parsers.VERSIONS)
def test_it_is_that_version(answers: dict[str, dict[str, Any]], version: str) -> None:
    assert answers[version]["version"].split("+")[0] == version


@pytest.mark.parametrize("version", parsers.VERSIONS)
@pytest.mark.parametrize(("name", "text"), renderings().items())
def test_taken_as_meant(answers: dict[str, dict[str, Any]], version: str, name: str, text: str) -> None:
    parsed = answers[version]["parsed"][name]
    assert "refused" not in parsed, parsed
    for option, value in yaml.safe_load(text).items():
        wanted = value
        key = option.replace("-", "_")
        if option.startswith("no-"):
            key, wanted = key.removeprefix("no_"), False
        found = parsed["values"][key]
        if isinstance(wanted, dict) and isinstance(found, dict):  # with the defaults of all other keys
            found = {inner: found[inner] for inner in wanted}
        assert found == wanted, option


@pytest.mark.parametrize("version", parsers.VERSIONS)
def test_a_misspelled_option_is_refused(answers: dict[str, dict[str, Any]], version: str) -> None:
    assert "--max-num-seqz" in str(answers[version]["parsed"]["misspelled"]["refused"])


@pytest.mark.parametrize("version", parsers.VERSIONS)
def test_what_a_switch_says_where_the_parser_does_not_look(
    answers: dict[str, dict[str, Any]], version: str
) -> None:
    known = answers[version]["words"]
    assert OPTIONS["fp8_kv_cache"]["attention-backend"] in known["attention-backend"]
    assert OPTIONS["mtp"]["speculative-config"]["moe_backend"] in known["moe_backend"]


@pytest.mark.parametrize("version", parsers.VERSIONS)
def test_the_options_that_a_render_knows_are_the_parsers(
    answers: dict[str, dict[str, Any]], version: str
) -> None:
    stored = json.loads((vllm_options.FOLDER / f"{version}.json").read_text())
    assert stored == answers[version]["options"], "write them anew: python -m tests.system.contract.write"


def test_all_stored_versions_are_checked() -> None:
    assert tuple(vllm_options.versions()) == parsers.VERSIONS
