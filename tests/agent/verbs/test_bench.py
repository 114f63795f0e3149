"""The bench verb up to the client and after it; the client itself is played by a function."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent import read_capture
from tests.support.device_double import Programs, make_context, make_release, serving
from tests.support.doubles.engine import Engine
from thorctl.agent.bench import client as bench_client
from thorctl.agent.bench import condition as bench_condition
from thorctl.agent.bench.result import UnusableError
from thorctl.agent.core.arguments import parser
from thorctl.agent.core.machine import machine
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.core.runner import Completed, Runner
from thorctl.agent.facts import device as device_reader
from thorctl.agent.release import serve_yaml
from thorctl.agent.verbs import bench
from thorctl.bench import measurement
from thorctl.protocol.bench import Figures
from thorctl.protocol.encode import encode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from thorctl.agent.bench.call import Measurement
    from thorctl.agent.core.context import Context

MODEL = Path(__file__).resolve().parents[3] / "images" / "tiny-qwable" / "model"
PARSER = parser()
KEY = "sk-not-for-anybody"
APPS = "1234, VLLM::EngineCore, 21000\n"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine("tiny") as running:
        yield running


def device(root: Path, engine: Engine, **options: Any) -> Context:
    """A device that serves a release with the small model's checkpoint on disk."""
    files = [
        {"path": name, "size": (MODEL / name).stat().st_size, "sha256": "c" * 64}
        for name in ("config.json", "model.safetensors")
    ]
    serve = {"served-model-name": ["tiny"], "port": engine.port, "max-model-len": 2048, "max-num-seqs": 4}
    lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in {**serve, **options}.items())
    release = make_release(
        files={"serve.yaml": {"mode": "0444", "content": f"# @RELEASE_ID@\n{lines}"}},
        profile={"serve": serve},
        lock={"checkpoint": {**make_release().document["lock"]["checkpoint"], "files": files}},
        device_class={
            "name": "some-class",
            "power_modes": ["MAXN", "120W"],
            "memory_bandwidth_bytes_per_second": 10**9,
        },
    )
    programs = Programs(
        {
            "nvpmodel": "NV Power Mode: 120W\n1\n",
            "jetson_clocks": read_capture.text("jetson_clocks-show.maxn-locked"),
            "nvidia-smi": APPS,
            "tegrastats": 1,
        }
    )
    ctx = serving(make_context(root, programs), release)
    folder = ctx.paths.checkpoints / release.checkpoint_name
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(MODEL / str(file["path"]), folder)
    return ctx


def figures(step: Measurement) -> Figures:
    """What a client could have measured."""
    count = len(step.prompts)
    return Figures(
        50.0 * step.at_once,
        40.0,
        20.0,
        30.0,
        30.0,
        31.0,
        20 * count,
        step.tokens * count,
        count,
        step.at_once,
        1.0,
    )


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> list[Measurement]:
    """A client that measures at once; the list of what it was asked for."""
    asked: list[Measurement] = []

    def measure(_: Context, step: Measurement, **__: Any) -> Figures:
        asked.append(step)
        engine.generated += step.generated
        return figures(step)

    monkeypatch.setattr(bench_client, "measure", measure)
    return asked


def run(ctx: Context, *words: str) -> Outcome:
    try:
        return bench.run(ctx, PARSER.parse_args(["bench", *words]))
    except AgentError as error:
        return Outcome.of_error(error)


def code(outcome: Outcome) -> str | None:
    return outcome.error.code if outcome.error else None


def test_all_that_a_comparison_needs_is_recorded(
    tmp_path: Path, engine: Engine, client: list[Measurement]
) -> None:
    outcome = run(device(tmp_path, engine), "--quick")
    assert code(outcome) is None, outcome.error
    data = outcome.json
    assert [step.name for step in client] == list(data["measured"]) == ["single", "identical", "different"]
    assert data["measured"]["single"]["decode_tokens_per_second"] == 50.0
    assert data["engine"] == {"vllm_version": "0.0.0", "image_digest": None, "model": "tiny", "alone": True}
    assert (data["before"]["power_mode"], data["before"]["clocks_locked"]) == ("120W", True)
    assert data["before"]["gpu_max_hertz"] == 1575000000
    assert data["before"]["gpu_processes"] == ["VLLM::EngineCore"]
    assert (data["device_class"], data["power_modes"]) == ("some-class", ["MAXN", "120W"])
    assert data["checkpoint_bytes"] == sum(
        (MODEL / name).stat().st_size for name in ("config.json", "model.safetensors")
    )
    roofline = data["roofline"]
    assert roofline["share"] == pytest.approx(50.0 * data["bytes_per_token"]["total"] / 1e9, abs=1e-4)
    assert not outcome.changed
    assert measurement.read(json.loads(json.dumps(data)), "thor-01").release == data["release"]


def test_no_more_at_once_than_the_engine_runs(
    tmp_path: Path, engine: Engine, client: list[Measurement]
) -> None:
    method = run(device(tmp_path, engine), "--quick").json["method"]
    assert (method["at_once"], method["at_once_wanted"]) == (4, 16)
    assert [step.at_once for step in client] == [1, 4, 4]


def test_a_dry_run_says_the_exact_words_and_asks_nothing(
    tmp_path: Path, engine: Engine, client: list[Measurement]
) -> None:
    ctx = device(tmp_path, engine)
    hold(ctx)
    data = run(ctx, "--dry-run", "--tokens", "100").json
    assert client == []
    assert engine.requests == []
    commands = data["method"]["commands"]
    assert [words[:3] for words in commands] == [["vllm", "bench", "serve"]] * 3
    assert all(words[words.index("--sharegpt-output-len") + 1] == "100" for words in commands)


def hold(ctx: Context) -> None:
    ctx.files.write_json(ctx.paths.hold_json, {"reason": "on patrol", "since": "2026-11-24T00:00:00Z"})


def test_a_device_that_holds_is_left_alone(tmp_path: Path, engine: Engine, client: list[Measurement]) -> None:
    ctx = device(tmp_path, engine)
    hold(ctx)
    outcome = run(ctx)
    assert (code(outcome), outcome.exit_code, client) == ("held", 3, [])


def test_an_engine_at_work_is_left_alone(tmp_path: Path, engine: Engine, client: list[Measurement]) -> None:
    engine.mode = "at_work"
    outcome = run(device(tmp_path, engine))
    assert (code(outcome), outcome.exit_code, client) == ("busy", 3, [])


def test_figures_with_other_peoples_requests_in_them_are_refused(
    tmp_path: Path, engine: Engine, client: list[Measurement]
) -> None:
    engine.mode = "shared"
    outcome = run(device(tmp_path, engine), "--quick")
    assert code(outcome) == "bench_failed"
    assert "somebody else used it" in str(outcome.error)


def test_a_warm_up_that_failed_shows_in_the_engines_count(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_client, "measure", lambda _, step, **__: figures(step))
    outcome = run(device(tmp_path, engine), "--quick")
    assert "warm-up failed" in str(outcome.error)


def test_what_the_client_found_wrong_is_told_with_what_was_asked(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: Any, **__: Any) -> Figures:
        raise UnusableError("1 of 3 requests failed")

    monkeypatch.setattr(bench_client, "measure", measure)
    outcome = run(device(tmp_path, engine), "--quick")
    assert outcome.error is not None
    assert (outcome.error.code, outcome.exit_code) == ("bench_failed", 1)
    assert "single: 1 of 3 requests failed" in outcome.error.message
    assert outcome.error.details == {"engine_healthy": True}
    assert outcome.json["method"]["tokens"] == 32


def test_a_power_mode_that_changes_meanwhile_spoils_the_figures(
    tmp_path: Path, engine: Engine, client: list[Measurement], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = device(tmp_path, engine)
    read, modes = bench_condition.read, iter(["120W", "MAXN"])
    monkeypatch.setattr(bench_condition, "read", lambda ctx: replace(read(ctx), power_mode=next(modes)))
    assert "from 120W to MAXN" in str(run(ctx, "--quick").error)


def test_over_current_events_are_told_by_their_difference(tmp_path: Path, engine: Engine) -> None:
    ctx = device(tmp_path, engine)
    assert device_reader.over_current_events(ctx) is None
    counter = ctx.paths.at("/sys/class/hwmon/hwmon3/oc1_event_cnt")
    counter.parent.mkdir(parents=True)
    counter.write_text("2\n")
    before = device_reader.over_current_events(ctx)
    counter.write_text("5\n")
    assert bench_condition.delta(before, device_reader.over_current_events(ctx)) == {"hwmon3/oc1": 3}
    assert bench_condition.delta(None, before) is None
    assert bench_condition.delta({"hwmon4/oc1": 1}, before) is None


def test_what_cannot_be_read_is_null(tmp_path: Path) -> None:
    found = encode(bench_condition.read(make_context(tmp_path)))
    assert {key: value for key, value in found.items() if key != "at" and value is not None} == {}


def test_a_checkpoint_whose_bytes_cannot_be_told_has_no_share(
    tmp_path: Path, engine: Engine, client: list[Measurement]
) -> None:
    ctx = device(tmp_path, engine)
    next(ctx.paths.checkpoints.glob("*/config.json")).write_text("{}")
    data = run(ctx, "--quick").json
    assert (data["bytes_per_token"], data["roofline"]) == (None, None)
    assert "num_experts" in data["unknown"]


def test_options_that_a_switch_adds_count(tmp_path: Path, engine: Engine, client: list[Measurement]) -> None:
    half = run(device(tmp_path / "fp8", engine, **{"kv-cache-dtype": "fp8"}), "--quick").json
    whole = run(device(tmp_path / "bf16", engine), "--quick").json
    assert half["bytes_per_token"]["kv_cache"] * 2 == pytest.approx(
        whole["bytes_per_token"]["kv_cache"], abs=1
    )
    speculating = {"speculative-config": {"method": "mtp", "num_speculative_tokens": 1}}
    data = run(device(tmp_path / "mtp", engine, **speculating), "--quick").json
    assert (data["bytes_per_token"], data["roofline"]) == (None, None)
    assert "speculative" in data["unknown"]


def test_a_release_whose_options_cannot_be_read_has_no_share(
    tmp_path: Path, engine: Engine, client: list[Measurement]
) -> None:
    for text in ("max-model-len 2048\n", "  indented: 1\n", "dtype: bfloat16\n"):
        release = make_release(files={"serve.yaml": {"mode": "0444", "content": text}})
        with pytest.raises(ValueError, match=r"serve\.yaml"):
            serve_yaml.options(release)
    with pytest.raises(ValueError, match="has no"):
        serve_yaml.options(make_release())


def test_the_machine_is_told_apart_without_its_id(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    assert machine(ctx) is None
    file = ctx.paths.at("/etc/machine-id")
    file.parent.mkdir(parents=True, exist_ok=True)
    found = []
    for text in ("uninitialized\n", "", "0123456789abcdef" * 2 + "\n", "fedcba9876543210" * 2 + "\n"):
        file.write_text(text)
        found.append(machine(ctx))
    assert found[:2] == [None, None]
    assert found[2] != found[3]
    assert [len(word or "") for word in found[2:]] == [16, 16]
    assert "0123456789abcdef" not in str(found[2])


@pytest.mark.parametrize("words", [["--tokens", "9999"], ["--at-once", "17"], ["--rounds", "0"]])
def test_sizes_that_make_no_sense_are_a_bad_call(tmp_path: Path, engine: Engine, words: list[str]) -> None:
    outcome = run(device(tmp_path, engine), *words)
    assert (code(outcome), outcome.exit_code) == ("bad_call", 2)


def test_another_release_than_the_one_that_runs_is_refused(tmp_path: Path, engine: Engine) -> None:
    assert code(run(device(tmp_path, engine), "tiny-0123456789ab")) == "bad_state"


def test_a_key_never_stands_in_the_arguments(tmp_path: Path, engine: Engine) -> None:
    ctx = device(tmp_path, engine)
    secrets = ctx.paths.at("/etc/thor/secrets.env")
    secrets.parent.mkdir(parents=True, exist_ok=True)
    secrets.write_text(f"VLLM_API_KEY={KEY}\n")
    programs = ctx.runner
    assert isinstance(programs, Programs)
    assert code(run(ctx, "--quick")) == "bench_failed"  # there is no docker here
    exec_calls = [argv for argv in programs.calls if argv[:2] == ["docker", "exec"]]
    assert any("OPENAI_API_KEY" in argv for argv in exec_calls)
    assert all(KEY not in word for argv in programs.calls for word in argv)


def test_namespace_defaults_are_the_cards() -> None:
    args: argparse.Namespace = PARSER.parse_args(["bench"])
    assert (args.tokens, args.requests, args.quick, args.dry_run) == (None, None, False, False)


class Inside(Runner):
    """Runs here what the agent runs in the container."""

    def run(self, argv: Sequence[str], **given: Any) -> Completed:
        assert argv[:2] == ["docker", "exec"]
        return super().run(argv[3:], **given)


def test_result_without_end_is_read_to_its_limit(tmp_path: Path) -> None:
    """The client's result lies where the engine can write."""
    text = bench_client._text(make_context(tmp_path, Inside()), "/dev/zero")
    assert len(text) == 4 * 1024 * 1024
