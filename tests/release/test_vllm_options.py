"""Options of `vllm serve` are checked before a device sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import changed, lock_document
from thorctl.cli.main import run
from thorctl.errors import ThorError
from thorctl.files.schema import WrongKeyError
from thorctl.registry import resolve
from thorctl.release import device_class, lock, profile, vllm_options
from thorctl.release.lock import Lock
from thorctl.release.render import render_release, require_options

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ("0.16.0", "0.19.1"),
        ("0.19.0", "0.19.1"),
        ("0.19.1", "0.19.1"),
        ("0.25.1", "0.19.1"),
        ("0.26.0", "0.26.0"),
        ("0.31.2", "0.26.0"),
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
        ({"max-num-seqs": "three"}, None, "'max-num-seqs' takes an integer; not 'three'"),
        ({"max-num-seqs": 3.5}, None, "takes an integer; not 3.5"),
        ({"max-num-seqs": 0}, "0.26.0", "'max-num-seqs' must be at least 1; not 0"),
        ({"max-num-seqs": -1}, "0.19.1", "must be at least 1; not -1"),
        ({"max-model-len": -5}, None, "must be at least -1; not -5"),
        ({"max-model-len": "1.5K"}, None, "did you mean 1.5k"),
        ({"gpu-memory-utilization": 1.5}, None, "must be at most 1; not 1.5"),
        ({"reasoning-parser": "qwen4"}, "0.19.1", "such as 'qwen3'.*; not 'qwen4'"),
        ({"tool-call-parser": "no_such"}, None, "'tool-call-parser' takes .*hermes.*; not 'no_such'"),
        ({"attention-backend": "FAST"}, None, "'attention-backend' takes .*TRITON_ATTN.*; not 'FAST'"),
        ({"compilation-config": 3}, "0.32.0", "'compilation-config' takes an object.*; not 3"),
        ({"speculative-config": "mtp"}, None, "'speculative-config' takes an object"),
        ({"hf-overrides": "word"}, None, "'hf-overrides' takes an object"),
        (
            {"speculative-config": {"num_speculative_tokens": 0}},
            None,
            "num_speculative_tokens' must be more than 0",
        ),
        (
            {"speculative-config": {"method": "magic"}},
            None,
            "'speculative-config.method' takes .*; not 'magic'",
        ),
        ({"compilation-config": {"backend": 3}}, None, "'compilation-config.backend' takes string; not 3"),
        ({"cudagraph-capture-sizes": [1, "two"]}, None, "takes an integer; not 'two'"),
        ({"enable-auto-tool-choice": True}, None, "needs a 'tool-call-parser'"),
        ({"max-num-seqs": 64, "max-num-batched-tokens": 32}, None, "must not be less than 'max-num-seqs'"),
    ],
)
def test_what_vllm_would_refuse(options: dict[str, Any], version: str | None, sentence: str) -> None:
    with pytest.raises(WrongKeyError, match=sentence):
        vllm_options.check(options, version)


@pytest.mark.parametrize("version", [None, *vllm_options.versions()])
@pytest.mark.parametrize(
    "options",
    [
        {"max-num-seqs": "4", "max-num-batched-tokens": "4K", "max-model-len": "16k"},
        {"max-model-len": "auto"},
        {"max-model-len": -1},
        {"kv-cache-memory-bytes": "1.5g"},
        {"compilation-config": '{"mode": 3}'},
        {"speculative-config": {"method": "mtp", "num_speculative_tokens": 3, "moe_backend": "triton"}},
        {"reasoning-parser": "mine", "reasoning-parser-plugin": "/etc/thor-engine/mine.py"},
        {"tool-call-parser": "mine", "tool-parser-plugin": "/etc/thor-engine/mine.py"},
        {"attention-backend": "triton_attn"},
        {"moe-backend": "Triton"},
    ],
)
def test_what_vllm_takes(options: dict[str, Any], version: str | None) -> None:
    vllm_options.check(options, version)


@pytest.mark.parametrize(
    ("serve", "environment", "refused"),
    [
        ({}, {}, True),
        ({}, {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}, False),
        ({"hf-overrides": {"max_position_embeddings": 1_000_000}}, {}, False),
    ],
)
def test_a_context_longer_than_the_models(
    serve: dict[str, Any], environment: dict[str, str], refused: bool
) -> None:
    of = profile.load(DEPLOY, "qwable-v1-nvfp4a16-upstream")
    of = changed(
        of,
        serve={**of.serve, "max-model-len": "300k", **serve},
        environment={**of.environment, **environment},
    )
    found = Lock.model_validate(lock_document(of))
    if not refused:
        require_options(of, found, of.options)
        return
    with pytest.raises(ThorError, match="the model's contexts end at 262,144 tokens") as caught:
        require_options(of, found, of.options)
    assert caught.value.code == "option_refused"


def test_a_plugins_parser_must_be_in_the_plugin(project: Path) -> None:
    thor = device_class.load(DEPLOY, "simulated-container")
    of = profile.load(DEPLOY, "tiny-qwable")
    of = changed(of, serve={**of.serve, "tool-call-parser": "qwabel"})
    with pytest.raises(ThorError, match=r"'qwabel'.*qwable_tool_parser.py") as caught:
        render_release(of, Lock.model_validate(lock_document(of)), thor, DEPLOY / "templates")
    assert caught.value.code == "option_refused"


@pytest.mark.parametrize("version", vllm_options.versions())
def test_a_misspelled_option_fails_the_render_at_its_line(project: Path, version: str) -> None:
    deploy = project / "deploy"
    source = deploy / "profiles" / "tiny-qwable.yml"
    of = profile.load(deploy, "tiny-qwable")
    document = lock_document(of)
    document["image"]["vllm_version"] = version
    resolve.write(lock.path_of(deploy, "tiny-qwable"), Lock.model_validate(document))
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
