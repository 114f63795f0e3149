"""activate, commit, rollback, recover as an operator meets them: what is refused, repeated, told."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import pytest

from tests.agent.stateful_device import Device
from thorctl.agent import ports, ready
from thorctl.agent.files import Files
from thorctl.agent.journal import ACTIVATING, COMMITTED, EMPTY, TRIAL
from thorctl.agent.signals import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.agent.outcome import Outcome
    from thorctl.agent.release_document import Release


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    one = Device(tmp_path)
    yield one
    one.close()


def code(outcome: Outcome) -> tuple[str, int]:
    assert outcome.error is not None
    assert outcome.error.remedy
    return outcome.error.code, outcome.exit_code


def commit_one(device: Device, number: int) -> Release:
    release = device.release(number)
    device.done("activate", release.id)
    device.smoke_passed(release)
    device.done("commit", release.id)
    return release


def test_the_way_of_a_release(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    data = device.done("activate", new.id, "--deadline", "900")
    assert (data["state"], data["release"], data["previous"]) == (TRIAL, new.id, old.id)
    assert data["deadline"] is not None
    assert list(device.systemd.timers) == ["thor-trial-2"]
    device.smoke_passed(new)
    assert device.done("commit") == {"release": new.id, "state": COMMITTED}
    assert device.systemd.timers == {}
    assert device.journal().previous == old.id


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
    assert (again.changed, again.data["release"]) == (False, old.id)
    assert not device.say("rollback", new.id).changed
    # Further back only by name.
    assert device.done("rollback", old.id)["release"] == oldest.id
    assert code(device.say("rollback", oldest.id)) == ("nothing_to_roll_back", 2)


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


def test_commit_needs_a_smoke_of_this_release_since_its_activation(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.smoke_passed(new)
    device.clock.skip(5)
    assert code(device.say("commit", new.id)) == ("bad_state", 2)
    smoke = json.loads(device.paths.smoke_json.read_text())
    device.done("activate", new.id)
    wrong = [
        {**smoke, "at": "2020-01-01T00:00:00Z"},
        {**smoke, "passed": False},
        {**smoke, "passed": "yes"},
        {**smoke, "release": old.id},
        {"release": new.id},
        None,
    ]
    for document in wrong:
        device.paths.smoke_json.write_text(json.dumps(document))
        assert code(device.say("commit")) == ("smoke_missing", 2)
    assert device.journal().state == TRIAL
    device.done("commit", "--without-smoke")


def test_an_engine_that_dies_brings_the_old_release_back(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.systemd.broken.add(new.id)
    outcome = device.say("activate", new.id)
    assert code(outcome) == ("engine_died", 1)
    assert outcome.error is not None
    assert outcome.error.details["log"] == ["ValueError: no weights"]
    assert (outcome.data["release"], outcome.data["state"]) == (old.id, COMMITTED)
    assert device.systemd.running_release() == old.id
    assert device.systemd.timers == {}


def test_an_engine_that_never_gets_ready_brings_the_old_release_back(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.unready.add(new.id)
    assert code(device.say("activate", new.id)) == ("engine_not_ready", 1)
    assert device.systemd.running_release() == old.id


def test_the_first_release_that_dies_leaves_the_device_empty(device: Device) -> None:
    release = device.release(1)
    device.systemd.broken.add(release.id)
    assert code(device.say("activate", release.id)) == ("engine_died", 1)
    assert device.journal().state == EMPTY
    assert not device.paths.engine_unit.exists()


def test_activate_starts_a_committed_engine_that_is_down(device: Device) -> None:
    release = commit_one(device, 1)
    device.systemd.running = None
    outcome = device.say("activate", release.id)
    assert (outcome.changed, outcome.data["state"]) == (True, COMMITTED)
    assert device.systemd.running_release() == release.id


def test_activate_refuses_while_another_is_on_trial(device: Device) -> None:
    one, two = device.release(1), device.release(2)
    device.done("activate", one.id)
    assert code(device.say("activate", two.id)) == ("bad_state", 2)
    assert device.journal().target == one.id


def test_activate_refuses_what_is_not_whole(device: Device) -> None:
    absent = "tiny-0123456789ab"
    assert code(device.say("activate", absent)) == ("not_staged", 2)
    assert code(device.say("activate", "../../etc")) == ("bad_call", 2)
    release = device.release(1)
    weights = device.paths.checkpoints / release.checkpoint_name / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"WEIGHTS")
    assert code(device.say("activate", release.id)) == ("not_staged", 2)
    weights.unlink()
    assert code(device.say("activate", release.id)) == ("not_staged", 2)
    other = device.release(2)
    file = device.paths.release_dir(other.id) / "serve.yaml"
    file.chmod(0o644)
    file.write_text("a: 2\n")
    assert code(device.say("activate", other.id)) == ("release_invalid", 2)
    assert device.journal().state == EMPTY


def test_a_hold_delays_activation_only(device: Device) -> None:
    one, two = commit_one(device, 1), device.release(2)
    device.done("activate", two.id)
    device.done("hold", "set", "on patrol")
    assert not device.say("activate", two.id).changed  # it runs already
    device.done("rollback")
    assert code(device.say("activate", two.id)) == ("held", 3)
    assert device.journal().current == one.id
    device.done("hold", "clear")
    device.done("activate", two.id)


def test_recover_leaves_a_live_trial_alone_and_ends_an_overdue_one(device: Device) -> None:
    release = device.release(1)
    device.done("activate", release.id)
    assert device.done("recover")["did"] == "nothing"
    device.clock.skip(3601)
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


@pytest.mark.parametrize("journal", [b"", b"{", b"null\n", b'{"schema": 9}', None])
def test_a_corrupt_journal_is_never_guessed(device: Device, journal: bytes | None) -> None:
    release = commit_one(device, 1)
    if journal is None:
        device.paths.journal.unlink()
    else:
        device.paths.journal.write_bytes(journal)
    for words in (["activate", release.id], ["commit"], ["rollback"], ["recover"], ["gc"], ["status"]):
        assert code(device.say(*words)) == ("journal_corrupt", 1)
    assert code(device.say("recover", "--committed", "tiny-0123456789ab")) == ("not_staged", 2)
    assert device.done("recover", "--committed", release.id)["did"] == "told"
    assert device.journal().current == release.id
    kept = list(device.paths.state_dir.glob("state.json.corrupt-*"))
    assert [path.read_bytes() for path in kept] == ([] if journal is None else [journal])
    assert code(device.say("recover", "--committed", release.id)) == ("bad_state", 2)


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


def test_a_foreign_process_on_the_port_changes_nothing(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = commit_one(device, 1), device.release(2)
    before = device.paths.journal.read_bytes()
    squatter = ports.Listener(4711, "nginx", is_engine=False)
    monkeypatch.setattr(ports, "listener", lambda *_: squatter)
    outcome = device.say("activate", new.id)
    assert code(outcome) == ("port_in_use", 1)
    assert "nginx (process 4711)" in str(outcome.error)
    assert device.paths.journal.read_bytes() == before
    assert device.systemd.running_release() == old.id
    assert not device.systemd.timers
    monkeypatch.setattr(ports, "listener", lambda *_: ports.Listener(1, "vllm", is_engine=True))
    device.done("activate", new.id)


def test_told_to_end_while_waiting_it_goes_back_first(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = commit_one(device, 1), device.release(2)

    def interrupted(*_: object) -> float:
        raise Interrupted("SIGTERM")

    monkeypatch.setattr(ready, "wait", interrupted)
    outcome = device.say("activate", new.id)
    assert code(outcome)[1] == 1
    assert (device.journal().state, device.journal().current) == (COMMITTED, old.id)
    assert device.systemd.running_release() == old.id
    assert not device.systemd.timers


def test_a_full_disk_at_any_write_leaves_a_whole_release(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = commit_one(device, 1), device.release(2)
    written: list[str] = []
    write = Files.write

    def full(self: Files, path: Path, content: bytes, mode: int = 0o644) -> None:
        written.append(path.name)
        if len(written) == refuse_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, path, content, mode)

    monkeypatch.setattr(Files, "write", full)
    for refuse_at in range(1, 4):  # noqa: B007 - `full` reads it
        written.clear()
        outcome = device.say("activate", new.id)
        assert outcome.error is not None
        assert (device.journal().state, device.journal().current) == (COMMITTED, old.id)
        assert device.systemd.running_release() == old.id
    assert len(written) > 3
