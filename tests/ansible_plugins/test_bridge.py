"""What the plugins say and decide: plan as changed and diff, progress, failures, convergence, daemon.json."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support import benchmarks
from thorctl.ansible_plugins import bench
from thorctl.ansible_plugins.check_mode import diffs, would_change
from thorctl.ansible_plugins.converged import serves
from thorctl.ansible_plugins.daemon_json import merged, needs_restart
from thorctl.ansible_plugins.failure import failure_text, generation_line, standing
from thorctl.ansible_plugins.progress import progress_line, worth_showing
from thorctl.protocol import canonical_json
from thorctl.protocol.progress import Progress
from thorctl.remote.answer import read_answer

PLAN: dict[str, Any] = {
    "release": "tiny-0123456789ab",
    "already": "absent",
    "actions": [
        {"action": "pull_image", "bytes": 1_200_000_000, "detail": "registry/x@sha256:1"},
        {"action": "restart_engine", "bytes": 0, "detail": "nothing -> tiny"},
    ],
    "diff": [
        {"path": "serve.yaml", "before": None, "after": "port: 8000\n"},
        {"path": "engine.env", "before": "A=1\n", "after": "A=1\n"},
    ],
}


def failed(verb: str, code: str, exit_code: int, **more: Any) -> str:
    error = {"code": code, "message": "It is so.", "remedy": "Do this.", "details": more.get("details", {})}
    said = {
        "schema": 1,
        "verb": verb,
        "ok": False,
        "changed": False,
        "data": more.get("data", {}),
        "error": error,
    }
    return failure_text(read_answer("thor-01", verb, exit_code, json.dumps(said), ""))


@pytest.mark.parametrize(
    ("verb", "already", "actions", "changes"),
    [
        ("stage", "absent", [{}], True),
        ("stage", "staged", [{}], False),
        ("activate", "staged", [{}], True),
        ("activate", "staged", [], True),
        ("activate", "committed", [], False),
        ("activate", "committed", [{}], True),
        ("commit", "staged", [], True),
        ("commit", "committed", [], False),
    ],
)
def test_what_a_plan_foresees(verb: str, already: str, actions: list[dict[str, Any]], changes: bool) -> None:
    assert would_change(verb, "plan", {"already": already, "actions": actions}) is changes


@pytest.mark.parametrize(
    ("state", "previous", "changes"),
    [("trial", None, True), ("committed", None, False), ("committed", "old-1", True), ("empty", None, False)],
)
def test_what_a_rollback_would_change(state: str, previous: str | None, changes: bool) -> None:
    assert would_change("rollback", "status", {"state": state, "previous": previous}) is changes


def test_a_benchmark_changes_nothing() -> None:
    assert would_change("bench", "bench", {"method": {"commands": []}}) is False


def test_what_was_measured_is_said_in_three_lines() -> None:
    assert bench.lines(benchmarks.data()) == [
        (
            "qwable-v1-nvfp4a16-0123456789ab: one stream 41.2 tok/s, first token after 61 ms, "
            "60% of the limit by the memory's bandwidth"
        ),
        "×16, the same prompt 329.0 tok/s, different prompts 254.0 tok/s",
        "120W, clocks locked",
    ]
    unknown = benchmarks.data(roofline=None, before__power_mode=None, before__clocks_locked=None)
    assert bench.lines(unknown)[2] == "power mode unknown, clocks unknown"
    planned = {"release": "x", "method": {"commands": [["vllm", "bench", "a b"]]}}
    assert bench.lines(planned)[1:] == ["vllm bench 'a b'"]


def test_stage_s_diff_is_its_steps_and_activate_s_the_files() -> None:
    (steps,) = diffs("stage", PLAN)
    assert steps["after"] == "pull_image (1.2 GB) registry/x@sha256:1\n"
    (file,) = diffs("activate", PLAN)
    assert (file["after_header"], file["before"], file["after"]) == ("serve.yaml", "", "port: 8000\n")
    assert diffs("commit", PLAN) == []


def test_a_failure_says_code_message_and_remedy() -> None:
    assert failed("stage", "disk_too_small", 1) == "disk_too_small: It is so. — Do this."


def test_a_busy_device_names_its_holder() -> None:
    text = failed("stage", "leased", 3, details={"holder": "ann@desk", "reason": "rollout 7"})
    assert "holder: ann@desk" in text
    assert "rollout 7" in text


def test_preflight_names_each_failed_item_with_remedy_and_switch() -> None:
    item = {
        "name": "l4t",
        "status": "fail",
        "found": "36.4",
        "wanted": "38.2 or newer",
        "message": "Too old.",
        "remedy": "Flash it.",
        "switch": "--skip l4t",
    }
    data = {"items": [item, {"name": "soc", "status": "pass"}], "counts": {"pass": 1, "warn": 0, "fail": 1}}
    text = failed("preflight", "preflight_failed", 1, data=data)
    assert text.splitlines() == [
        "preflight_failed: 1 of 2 checks failed.",
        "  l4t: Too old. Found 36.4, wanted 38.2 or newer.",
        "    remedy: Flash it.",
        "    to skip this check: -e thor_preflight_skip=l4t",
    ]


def test_smoke_names_the_check_and_the_text() -> None:
    generation = {
        "prompt_name": "capital",
        "prompt": "Capital?",
        "answer": "ba ba ba",
        "tokens": None,
        "seconds": 1.0,
        "failed_checks": [{"check": "repetition", "detail": "'ba' 40 times"}],
    }
    text = failed("smoke", "smoke_failed", 1, data={"generations": [generation]})
    assert "  capital: repetition: 'ba' 40 times — text 'ba ba ba'" in text.splitlines()
    assert generation_line(generation).startswith("FAILED capital")


def test_a_smoke_without_an_answer_shows_the_thinking() -> None:
    checks = [{"check": "not_empty", "detail": "the answer is empty"}, {"check": "finished", "detail": "cut"}]
    generation = {"prompt_name": "sum", "answer": "", "thinking": "ba ba", "failed_checks": checks}
    text = failed("smoke", "smoke_failed", 1, data={"generations": [generation, {"failed_checks": []}]})
    assert text.splitlines()[1:] == ["  sum: not_empty, finished: the answer is empty — text 'ba ba'"]


def test_where_the_device_stands_after_a_failed_smoke() -> None:
    status = {"state": "trial", "release": "new-1"}
    back = {"agent": {"ok": True, "data": {"state": "committed", "release": "old-1"}}}
    none = {"skipped": True}
    assert standing("t", status, back, none) == "t rolled back: it is committed and serves old-1"
    good = standing("t", status, back, {"agent": {"ok": True}})
    assert good == "t rolled back: it is committed and serves old-1, which passed its smoke test."
    assert "failed its smoke test too: x" in standing("t", status, back, {"agent": {"ok": False}, "msg": "x"})
    assert "failed its smoke test too" in standing("t", status, back, {"failed": True})
    assert standing("t", status, none, none) == "t is trial and serves new-1"
    assert "could not be rolled back: x" in standing("t", status, {"failed": True, "msg": "x"}, none)
    assert "could not be rolled back" in standing("t", status, {"agent": {"ok": None, "data": {}}}, none)


def test_a_first_release_that_is_kept_for_review_names_both_ways_on() -> None:
    status = {"state": "trial", "release": "new-1"}
    kept = {"agent": {"ok": True, "data": {"release": "new-1", "deadline": "2026-12-01T10:00:00Z"}}}
    text = standing("t", status, {"skipped": True}, {"skipped": True}, kept)
    assert text.startswith("t keeps new-1 for review until 2026-12-01T10:00:00Z.")
    assert "thorctl commit t --accept-failed-smoke REASON" in text
    assert "thorctl rollback t" in text
    back = {"agent": {"ok": True, "data": {"state": "empty", "release": None}}}
    refused = standing("t", status, back, {"skipped": True}, {"agent": {"ok": False}, "msg": "bad_state"})
    assert refused == "It was not kept: bad_state. t rolled back: it is empty and serves nothing"


def test_a_check_that_no_generation_tells_has_its_line() -> None:
    results = [
        {"name": "logprobs", "result": "failed", "reason": "token 0 has [nan]"},
        {"name": "tool_call", "result": "not_asked", "reason": "no parser"},
    ]
    text = failed("smoke", "smoke_failed", 1, data={"generations": [], "results": results})
    assert text.splitlines()[1:] == ["  logprobs: token 0 has [nan]"]


def test_progress_leaves_out_what_is_not_known() -> None:
    whole: dict[str, Any] = {
        "verb": "stage",
        "phase": "checkpoint",
        "done_bytes": 450_000_000,
        "total_bytes": 1_000_000_000,
        "bytes_per_second": 53_000_000,
        "message": "model.safetensors",
    }
    assert progress_line(Progress(**whole)) == (
        "stage: checkpoint 45 % (450.0 MB of 1.0 GB, 53.0 MB/s) model.safetensors"
    )
    assert progress_line(Progress(verb="activate", phase="start")) == "activate: start"


def test_progress_is_shown_when_it_says_something_new() -> None:
    at = Progress(verb="stage", phase="image", done_bytes=41, total_bytes=100)
    assert worth_showing(None, at, 0)
    assert worth_showing(at, replace(at, phase="checkpoint"), 0)
    assert worth_showing(at, replace(at, done_bytes=50), 0)
    assert not worth_showing(at, replace(at, done_bytes=49), 0)
    assert worth_showing(at, at, 31)


RELEASE: dict[str, Any] = {"id": "r-1", "schema": 2, "files": {}}
GOOD = {
    "state": "committed",
    "release": "r-1",
    "engine": {"unit": "active", "ready": True},
    "last_smoke": {"release": "r-1", "passed": True},
    "drift": [],
}


def test_a_converged_device_needs_nothing() -> None:
    assert serves(GOOD, RELEASE)


def test_another_document_of_the_id_is_not_converged() -> None:
    assert serves(GOOD | {"release_sha256": canonical_json.release_sha256(RELEASE)}, RELEASE)
    assert not serves(GOOD | {"release_sha256": "f" * 64}, RELEASE)


def test_what_drifted_of_the_host_is_not_the_release_s_business() -> None:
    assert serves(GOOD | {"drift": [{"what": "power mode", "scope": "host", "same": False}]}, RELEASE)


@pytest.mark.parametrize(
    "broken",
    [
        {"state": "trial"},
        {"release": "r-2"},
        {"engine": {"unit": "active", "ready": False}},
        {"engine": {"unit": None, "ready": True}},
        {"engine": {"unit": "failed", "ready": True}},
        {"engine": None},
        {"last_smoke": None},
        {"last_smoke": {"release": "r-0", "passed": True}},
        {"last_smoke": {"release": "r-1", "passed": False}},
        {"drift": [{"what": "unit"}]},
        {"drift": [{"what": "image on disk", "scope": "release", "same": None}]},
        {"drift": None},
    ],
)
def test_anything_missing_or_unknown_means_work(broken: dict[str, Any]) -> None:
    assert not serves(GOOD | broken, RELEASE)


LOG = {"log-driver": "json-file", "log-opts": {"max-size": "10m"}}


def test_daemon_json_is_merged() -> None:
    existing = {"data-root": "/mnt/nvme", "insecure-registries": ["a:1"]}
    wanted = merged(existing, LOG, ["b:2", "a:1"], {})
    assert wanted == existing | LOG | {"insecure-registries": ["a:1", "b:2"]}
    assert merged(wanted, LOG, ["b:2", "a:1"], {}) == wanted
    assert existing == {"data-root": "/mnt/nvme", "insecure-registries": ["a:1"]}


def test_a_chosen_log_driver_stays_and_named_keys_win() -> None:
    wanted = merged({"log-driver": "journald"}, LOG, [], {"live-restore": True})
    assert wanted == {"log-driver": "journald", "live-restore": True}


@pytest.mark.parametrize(
    ("existing", "wanted", "restart"),
    [
        ({}, {"insecure-registries": ["a"]}, False),
        ({}, {"log-driver": "local"}, True),
        ({"data-root": "/a"}, {"data-root": "/b"}, True),
        ({"a": 1}, {"a": 1}, False),
    ],
)
def test_docker_restarts_only_when_needed(
    existing: dict[str, Any], wanted: dict[str, Any], restart: bool
) -> None:
    assert needs_restart(wanted, existing) is restart
