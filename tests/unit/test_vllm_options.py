"""Options of `vllm serve` are checked before a device sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.documents import changed, lock_document
from thorctl import device_class, lock, locking, profile, vllm_options
from thorctl.cli.main import run
from thorctl.errors import ThorError
from thorctl.lock import Lock
from thorctl.render import render_release
from thorctl.schema import WrongKeyError

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ("0.16.0", "0.19.1"),
        ("0.19.0", "0.19.1"),
        ("0.19.1", "0.19.1"),
        ("0.26.0", "0.19.1"),
        ("0.32.0+cpu", "0.32.0"),
        ("0.40.1", "0.32.0"),
        ("1.0", "0.32.0"),
    ],
)
def test_the_table_of_the_nearest_older_version_is_used(version: str, taken: str) -> None:
    assert vllm_options.closest(version) == taken


@pytest.mark.parametrize(
    ("options", "version", "sentence"),
    [
        ({"max-num-seqz": 1}, None, "no option 'max-num-seqz'; did you mean 'max-num-seqs'"),
        ({"disable-log-requests": True}, "0.19.0", "has no option 'disable-log-requests'|did you mean"),
        ({"language-model-only": "yes"}, None, "'language-model-only' takes no value"),
        ({"max-model-len": True}, None, "'max-model-len' needs a value"),
        ({"max-model-len": [1, 2]}, None, "takes one value, not a list"),
        ({"dtype": "bf16"}, "0.19.1", "'dtype' takes .*bfloat16.*; not 'bf16'"),
        (
            {"speculative-config": {"method": "mtp", "num_speculative_token": 1}},
            None,
            "no key 'num_speculative_token'; did you mean 'num_speculative_tokens'",
        ),
        ({"compilation-config": {"cudagraph_modes": "NONE"}}, "0.19.1", "did you mean 'cudagraph_mode'"),
    ],
)
def test_what_vllm_would_refuse(options: dict[str, Any], version: str | None, sentence: str) -> None:
    with pytest.raises(WrongKeyError, match=sentence):
        vllm_options.check(options, version)


@pytest.mark.parametrize("version", vllm_options.versions())
def test_a_misspelled_option_fails_the_render_at_its_line(project: Path, version: str) -> None:
    deploy = project / "deploy"
    source = deploy / "profiles" / "tiny-qwable.yml"
    of = profile.load(deploy, "tiny-qwable")
    document = lock_document(of)
    document["image"]["vllm_version"] = version
    locking.write(lock.path_of(deploy, "tiny-qwable"), Lock.model_validate(document))
    lines = source.read_text().replace("max-num-seqs", "max-num-seqz")
    source.write_text(lines)
    at = 1 + [line.strip().startswith("max-num-seqz") for line in lines.splitlines()].index(True)
    out = project / "out"
    result = run(["--project", str(project), "--json", "render", "tiny-qwable", "--out", str(out)])
    assert result is not None
    assert (result.exit_code, result.errors[0].code) == (1, "profile_invalid")
    assert f"tiny-qwable.yml:{at}: " in result.errors[0].message
    assert "did you mean 'max-num-seqs'?" in result.errors[0].message
    assert not out.exists()


def only_in(version: str, other: str) -> str:
    return min(set(vllm_options.known(version)) - set(vllm_options.known(other)))


def test_an_option_of_another_version_is_refused_where_the_version_is_known() -> None:
    newer = only_in("0.32.0", "0.19.1")
    option = vllm_options.known("0.32.0")[newer]
    value: Any = True if option.flag else (option.choices or ("1",))[0]
    vllm_options.check({newer: value}, None)
    with pytest.raises(WrongKeyError, match=f"vLLM 0.19.0 has no option '{newer}'; 0.32.0 has"):
        vllm_options.check({newer: value}, "0.19.0")


def test_a_render_refuses_what_the_locked_version_does_not_take() -> None:
    of = profile.load(DEPLOY, "tiny-qwable")
    older = only_in("0.19.1", "0.32.0")
    option = vllm_options.known("0.19.1")[older]
    value: Any = True if option.flag else (option.choices or ("1",))[0]
    of = changed(of, serve={**of.serve, older: value})
    document = lock_document(of)
    document["image"]["vllm_version"] = "0.32.0"
    with pytest.raises(ThorError, match=older) as caught:
        render_release(
            of,
            Lock.model_validate(document),
            device_class.load(DEPLOY, "simulated-container"),
            DEPLOY / "templates",
        )
    assert caught.value.code == "option_refused"
