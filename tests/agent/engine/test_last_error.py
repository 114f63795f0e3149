"""The reason in the log of an engine that died at its start: logs of the real vLLM, and others' words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from thorctl.agent.engine import failure, last_error
from thorctl.protocol.status import UnitEnd

CAPTURES = Path(__file__).parents[1] / "captures" / "engine"
PYDANTIC = "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig"
TENSORS = "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: "
# Capture → what the failure line begins with, a word of the remedy besides where to read on.
REAL: dict[str, tuple[str, str]] = {
    "architecture": (f"{PYDANTIC} Value error, Model architectures ['NoSuch", ""),
    "bad-option": ("vllm: error: unrecognized arguments: --no-such-option 3", "option"),
    "config-json": ("OSError: It looks like the config file at", "Stage the release again"),
    "context-too-long": (
        f"{PYDANTIC} Value error, User-specified max_model_len (9999999)",
        "Lower",
    ),
    "corrupt-weights": (f"{TENSORS}header too large", "Stage the release again"),
    "cut-weights": (f"{TENSORS}incomplete metadata, file not fully covered", "Stage the release again"),
    "missing-checkpoint": (
        "huggingface_hub.errors.HFValidationError: Repo id must",
        "Stage the release again",
    ),
    "no-tokenizer": ("IndexError: list index out of range (strategies.py, line 155)", ""),
    "no-weights": ("RuntimeError: Cannot find any model weights with", "Stage the release again"),
    "plugin-syntax": ("SyntaxError: invalid syntax (bad_plugin.py, line 1); then KeyError", "option"),
    "quantization-config": (f"{PYDANTIC} Value error, Unknown quantization method: nvfp5.", "quantization"),
    "reasoning-parser": ("KeyError: \"Reasoning parser 'nosuch' not found", "option"),
    "template-missing": ("vllm.exceptions.VLLMValidationError: The supplied chat template string", ""),
    "template-syntax": ("jinja2.exceptions.TemplateSyntaxError: unexpected '}'", ""),
}
# Log in written.txt → what the failure line begins with, a word of the remedy.
WRITTEN: dict[str, tuple[str, str]] = {
    "chain": ("ImportError: libcuda.so.1: cannot open it; then RuntimeError: the platform", ""),
    "memory, 0.19, in colours": ("ValueError: Free memory on device (12.3/122.8", "memory"),
    "two processes at once": ("ValueError: No available memory for the cache blocks.", "memory"),
    "CUDA": ("torch.AcceleratorError: CUDA error: no kernel image is available", "driver"),
    "driver": ("RuntimeError: The NVIDIA driver version is insufficient", "driver"),
    "runtime": ("docker: Error response from daemon: unknown or invalid runtime name: nvidia.", "runtime"),
    "nvidia-container-cli": ("docker: Error response from daemon: failed to create task", "runtime"),
    "Docker's, after an older death": ("docker: Error response from daemon: Conflict.", ""),
    "the agent's, before the container": ("The image r/e@sha256:1 is not on this device.", ""),
    "C++": ("what():  CUDA driver initialization failed", "driver"),
    "shell": ("/bin/sh: 1: exec: vllm: not found", ""),
    "only a relay": ("RuntimeError: Engine core initialization failed.", ""),
    "nothing": ("INFO loading", ""),
    "empty": ("its log is empty", ""),
}


def written(name: str) -> list[str]:
    """The log of that name, composed of what vLLM, torch and Docker print."""
    text = (CAPTURES / "written.txt").read_text()
    return text.split(f"=== {name}\n")[1].split("=== ")[0].splitlines()


@pytest.mark.parametrize("capture", sorted(REAL))
def test_real_death_of_vllm_is_told_by_its_own_error(capture: str) -> None:
    log = (CAPTURES / f"{capture}.log").read_text().splitlines()
    told = failure.of(log, UnitEnd("exit-code", "exited", "1"))
    error, remedy = REAL[capture]
    assert told.why.startswith(error)
    assert remedy in told.remedy
    assert len(told.why) <= 2 * last_error.LONGEST + 10
    assert any(told.why.split("; then ")[0][:20] in line for line in told.lines)


@pytest.mark.parametrize("capture", sorted(REAL))
def test_last_lines_of_a_death_alone_hold_no_other_reason(capture: str) -> None:
    """Twice in one log, as after a restart, the reason is the same; before its first word there is none."""
    log = (CAPTURES / f"{capture}.log").read_text().splitlines()
    once, twice = last_error.find(log), last_error.find([*log, *log])
    assert once is not None
    assert twice is not None
    assert twice.text == once.text
    assert twice.line == once.line + len(log)


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_other_ends_are_told(name: str) -> None:
    why, remedy = WRITTEN[name]
    told = failure.of(written(name), None)
    assert told.why.startswith(why)
    assert remedy in told.remedy


@pytest.mark.parametrize("end", [UnitEnd("exit-code", "exited", "137"), UnitEnd("signal", "killed", "KILL")])
@pytest.mark.parametrize("log", [written("only a relay"), ["INFO loading weights"], []])
def test_killed_engine_is_not_told_by_its_last_line(end: UnitEnd, log: list[str]) -> None:
    told = failure.of(log, end)
    assert told.why.startswith("its process was killed (SIGKILL)")
    assert "memory" in told.remedy


def test_real_engine_that_ran_out_of_memory_is_told_as_killed() -> None:
    log = (CAPTURES / "oom.log").read_text().splitlines()  # 700 MiB for all of it: not a word of its own
    assert last_error.find(log) is None
    assert failure.of(log, UnitEnd("exit-code", "exited", "137")).why.startswith("its pro")


def test_killed_after_an_error_of_its_own_is_told_by_the_error() -> None:
    assert failure.of(written("CUDA"), UnitEnd("exit-code", "exited", "137")).why.startswith("torch.Accel")


LONG = 48 * 1024  # characters at which journald cuts a line
CHAIN = ["", last_error._CHAINED, "", last_error._TRACEBACK]  # before an exception that another one led to


@pytest.mark.parametrize(
    "line",
    [
        "see error ",
        "engine core proc ",
        "KeyError: see error ",
        "ValueError: 1",
        "\x1b[",
        ": ",
        "Error",
        "a.",
    ],
)
def test_log_written_to_be_slow_is_judged_within_seconds(line: str) -> None:
    """Who waits for the engine holds the device's lock meanwhile."""
    long = line[:-1] + line[-1] * LONG if line.endswith("1") else line * (LONG // len(line))
    stamped = f"ERROR 11-30 11:10:36 [a.py:1] {long}"
    began = time.process_time()
    told = failure.of([one for _ in range(160) for one in [*CHAIN, long, stamped]], None)
    assert time.process_time() - began < 30  # was hours, or 100 s for one line of digits
    assert all(len(one) <= last_error.LINE for one in [told.why, *told.lines])


def test_what_another_process_logs_within_a_traceback_is_no_exception() -> None:
    found = last_error.find(written("two processes at once"))
    assert found is not None
    assert found.text == "ValueError: No available memory for the cache blocks."
