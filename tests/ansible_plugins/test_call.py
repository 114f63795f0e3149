"""Verb to command line, and what check mode runs instead."""

from __future__ import annotations

import json

import pytest

from thorctl.ansible_plugins.check_mode import stand_in
from thorctl.errors import ThorError
from thorctl.protocol.verbs import VERBS
from thorctl.remote.call import Call, call_for

RELEASE = {"id": "tiny-0123456789ab", "name": "tiny"}


def test_units_verbs_are_refused() -> None:
    for verb in VERBS.values():
        if verb.internal:
            with pytest.raises(ThorError, match="no verb"):
                call_for(verb.name, RELEASE, [])


def test_detached_verbs_change_devices() -> None:
    assert all(verb.locks for verb in VERBS.values() if verb.detached)


def test_stage_gets_the_document_on_stdin() -> None:
    call = call_for("stage", RELEASE, [])
    assert call.words == ("--release", "-")
    assert json.loads(call.stdin or "") == RELEASE


@pytest.mark.parametrize("verb", ["activate", "smoke", "commit", "rollback"])
def test_these_get_the_id(verb: str) -> None:
    assert call_for(verb, RELEASE, ["--x"]) == Call(verb, ("tiny-0123456789ab", "--x"))


def test_rollback_without_a_release_leaves_whatever_runs() -> None:
    assert call_for("rollback", None, ["--reason", "r"]) == Call("rollback", ("--reason", "r"))


@pytest.mark.parametrize("verb", ["stage", "plan", "preflight"])
def test_these_need_a_release(verb: str) -> None:
    with pytest.raises(ThorError, match="needs a release"):
        call_for(verb, None, [])


def test_an_unknown_verb_is_refused_with_those_there_are() -> None:
    with pytest.raises(ThorError) as caught:
        call_for("stagee", RELEASE, [])
    assert caught.value.code == "bad_call"
    assert "stage" in caught.value.remedy


@pytest.mark.parametrize(
    ("verb", "arguments", "instead"),
    [
        ("stage", [], "plan"),
        ("activate", [], "plan"),
        ("smoke", [], "plan"),
        ("commit", [], "plan"),
        ("rollback", [], "status"),
        ("recover", [], "status"),
        ("lease", ["take"], "status"),
        ("hold", ["set", "on patrol"], "status"),
        ("status", [], "status"),
        ("facts", [], "facts"),
        ("lease", ["show"], "lease"),
    ],
)
def test_check_mode_runs_a_verb_that_only_looks(verb: str, arguments: list[str], instead: str) -> None:
    runs = stand_in(call_for(verb, RELEASE, arguments), RELEASE)
    assert runs.verb == instead
    assert runs.reads_only


def test_check_mode_of_gc_is_its_dry_run() -> None:
    assert stand_in(Call("gc", ("--keep", "1")), None) == Call("gc", ("--keep", "1", "--dry-run"))


def test_check_mode_of_bench_is_its_dry_run_and_over_at_once() -> None:
    asked = call_for("bench", None, ["--quick"])
    runs = stand_in(asked, None)
    assert runs == Call("bench", ("--quick", "--dry-run"))
    assert (asked.detached, runs.detached) == (True, False)
