"""activate, commit, rollback, recover as an operator meets them: what happens, repeats, is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.trial_steps import code, commit_one
from thorctl.agent.core.outcome import EXIT_BUSY
from thorctl.protocol.encode import encode
from thorctl.protocol.states import ACTIVATING, COMMITTED, EMPTY, TRIAL

if TYPE_CHECKING:
    from tests.support.stateful_device import Device


def test_the_way_of_a_release(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    data = device.done("activate", new.id, "--deadline", "900")
    assert (data["state"], data["release"], data["previous"]) == (TRIAL, new.id, old.id)
    assert data["deadline"] is not None
    assert list(device.systemd.timers) == ["thor-trial-2"]
    device.smoke_passed(new)
    assert device.done("commit") == {"release": new.id, "state": COMMITTED, "accepted": None}
    assert device.systemd.timers == {}
    assert device.journal().previous == old.id


def test_planned_end_of_a_transient_unit_is_no_failure(device: Device) -> None:
    release = device.release(1)
    device.done("activate", release.id)
    assert device.systemd.armed
    for argv in device.systemd.armed.values():
        codes = {
            name: [int(one) for one in codes.split()]
            for name, _, codes in (word.partition("=") for word in argv)
            if name in {"SuccessExitStatus", "RestartForceExitStatus"}
        }
        # Restarted after a SIGTERM that is not systemd's own: the trial still ends.
        assert codes == {key: [EXIT_BUSY, 143] for key in ("SuccessExitStatus", "RestartForceExitStatus")}


def test_soak_is_begun_on_trial_and_ended_by_the_rollback(device: Device) -> None:
    release = device.release(1)
    device.done("activate", release.id)
    words = ("soak", "start", release.id)
    assert device.say(*words).error is None
    assert device.systemd.services == {"thor-soak-1"}
    device.done("rollback")
    assert device.systemd.services == set()


def test_saying_it_twice_is_saying_it_once(device: Device) -> None:
    release = device.release(1)
    words = ("activate", release.id)
    assert device.say(*words).changed
    assert not device.say(*words).changed
    device.smoke_passed(release)
    assert device.say("commit").changed
    assert not device.say("commit").changed
    assert not device.say("commit", release.id).changed
    assert not device.say(*words).changed
    assert device.journal().activation == 1


def test_rollback_twice_goes_back_once(device: Device) -> None:
    oldest, old, new = commit_one(device, 1), commit_one(device, 2), device.release(3)
    device.done("activate", new.id)
    first = device.done("rollback", "--reason", "too slow")
    assert (first["release"], first["from"]) == (old.id, new.id)
    again = device.say("rollback")
    assert (again.changed, again.json["release"]) == (False, old.id)
    assert not device.say("rollback", new.id).changed
    # Further back only by name, as it says itself.
    possible = {one["release"]: one["command"] for one in again.json["also_possible"]}
    assert possible == {
        oldest.id: f"thor-agent rollback {old.id}",
        new.id: f"thor-agent activate {new.id}",
    }
    assert first["also_possible"] == again.json["also_possible"]
    assert device.done("rollback", old.id)["release"] == oldest.id
    refused = device.say("rollback", oldest.id)
    assert code(refused) == ("nothing_to_roll_back", 2)
    assert refused.error is not None
    assert f"`thorctl rollout start {new.id} DEVICE`" in refused.error.remedy
    assert {one["release"] for one in encode(refused.error.details)["also_possible"]} == {old.id, new.id}


def test_rollback_of_the_first_release_leaves_an_empty_device(device: Device) -> None:
    release = device.release(1)
    device.done("activate", release.id)
    data = device.done("rollback")
    assert (data["state"], data["release"], data["from"]) == (EMPTY, None, release.id)
    assert not device.paths.engine_unit.exists()
    assert device.systemd.running is None


def test_a_deadline_rolls_back_and_a_late_commit_is_told_so(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    device.fire_timers()
    assert device.systemd.running_release() == old.id
    device.smoke_passed(new)
    for words in (("commit",), ("commit", new.id)):
        outcome = device.say(*words)
        assert code(outcome) == ("bad_state", 2)
        assert "deadline" in str(outcome.error)


def test_the_deadline_passes_whoever_holds_the_lease(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    device.done("--holder", "someone@else", "lease", "take")
    assert code(device.say("rollback")) == ("leased", 3)
    device.fire_timers()
    assert device.journal().current == old.id


def test_a_timer_of_an_earlier_activation_does_nothing(device: Device) -> None:
    release = device.release(1)
    device.done("activate", release.id)
    stale = device.systemd.timers["thor-trial-1"]
    device.done("rollback")
    device.done("activate", release.id)
    assert not device.say(*stale).changed
    assert device.journal().state == TRIAL


def test_activate_starts_a_committed_engine_that_is_down(device: Device) -> None:
    release = commit_one(device, 1)
    device.systemd.running = None
    outcome = device.say("activate", release.id)
    assert (outcome.changed, outcome.json["state"]) == (True, COMMITTED)
    assert device.systemd.running_release() == release.id


def test_recover_leaves_a_live_trial_alone_and_ends_one_that_nothing_would_end(device: Device) -> None:
    release = device.release(1)
    device.done("activate", release.id)
    assert device.done("recover")["did"] == "nothing"
    device.systemd.timers.clear()  # it fired, and what it started was killed; or somebody took it away
    assert device.done("recover")["did"] == "rolled_back"
    assert device.journal().state == EMPTY


def test_recover_mends_unit_and_release_files(device: Device) -> None:
    release = commit_one(device, 1)
    device.paths.engine_unit.write_text("# release something else\n")
    serve = device.paths.release_dir(release.id) / "serve.yaml"
    serve.chmod(0o644)
    serve.write_text("a: 2\n")
    assert device.done("recover")["did"] == "mended_unit"
    assert serve.read_text() == "a: 1\n"
    assert device.systemd.running_release() == release.id


def test_an_interrupted_activation_gives_way_to_another(device: Device) -> None:
    old, one, two = commit_one(device, 1), device.release(2), device.release(3)
    journal = device.journal().document() | {"state": ACTIVATING, "target": one.id, "activation": 5}
    device.paths.journal.write_text(json.dumps(journal))
    assert device.done("activate", two.id)["previous"] == old.id


def test_events_tell_who_did_what(device: Device) -> None:
    release = device.release(1)
    device.done("--holder", "ann@desk", "activate", release.id)
    device.say("--holder", "bob@desk", "commit")
    events = [json.loads(line) for line in device.paths.events.read_text().splitlines()]
    told = [(event["what"], event["verb"], event["holder"], event.get("error")) for event in events]
    assert told == [
        ("begin", "activate", "ann@desk", None),
        ("end", "activate", "ann@desk", None),
        ("begin", "commit", "bob@desk", None),
        ("end", "commit", "bob@desk", "smoke_missing"),
    ]
