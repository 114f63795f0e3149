"""Activations and commits that are refused or fail: the release before runs on, or comes back."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.trial_steps import code, commit_one
from thorctl.agent.core.files import Files
from thorctl.agent.core.signals import Interrupted
from thorctl.agent.engine import ready
from thorctl.agent.facts import ports
from thorctl.agent.staging import image
from thorctl.protocol.encode import encode
from thorctl.protocol.states import COMMITTED, EMPTY, TRIAL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stateful_device import Device


def test_commit_needs_a_smoke_of_this_release_since_its_activation(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.smoke_passed(new)
    device.clock.skip(5)
    assert code(device.say("commit", new.id)) == ("bad_state", 2)
    smoke = json.loads(device.paths.smoke_json.read_text())
    device.done("activate", new.id)
    wrong = [
        {**smoke, "activation": 1},
        {key: value for key, value in smoke.items() if key != "activation"},
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
    assert (outcome.json["release"], outcome.json["state"]) == (old.id, COMMITTED)
    assert device.systemd.running_release() == old.id
    assert device.systemd.timers == {}


def test_an_engine_that_never_gets_ready_brings_the_old_release_back(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.unready.add(new.id)
    assert code(device.say("activate", new.id)) == ("engine_not_ready", 1)
    assert device.systemd.running_release() == old.id


def test_other_weights_have_the_time_of_a_first_start_in_an_image_that_was_ready_before(
    device: Device,
) -> None:
    """60 s here, 30 s once they were ready: on a Thor an hour for what is compiled for them, then minutes."""
    old, new = commit_one(device, 1), device.release(2)
    assert old.image == new.image
    device.unready.add(new.id)
    device.clock.at(device.clock.slept + 45, device.unready.clear)
    assert device.done("activate", new.id)["ready_seconds"] >= 45
    device.done("rollback")
    device.unready.add(new.id)
    outcome = device.say("activate", new.id)
    assert outcome.error is not None
    assert encode(outcome.error.details)["waited_seconds"] < 45


def test_the_first_release_that_dies_leaves_the_device_empty(device: Device) -> None:
    release = device.release(1)
    device.systemd.broken.add(release.id)
    assert code(device.say("activate", release.id)) == ("engine_died", 1)
    assert device.journal().state == EMPTY
    assert not device.paths.engine_unit.exists()


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


def test_activate_does_not_leave_what_it_could_not_come_back_to(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    weights = device.paths.checkpoints / old.checkpoint_name / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"other")
    outcome = device.say("activate", new.id)
    assert code(outcome) == ("no_way_back", 2)
    assert outcome.error is not None
    assert outcome.error.details["lacking"] == ["model.safetensors (file_wrong_size)"]
    assert (device.journal().state, device.systemd.running_release()) == (COMMITTED, old.id)
    device.systemd.running = None  # what serves nothing anyway is left all the same
    device.done("activate", new.id)


def test_activate_does_not_leave_a_release_whose_image_was_deleted(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = commit_one(device, 1), device.release(2)
    present = image.present
    monkeypatch.setattr(image, "present", lambda ctx, one: one.id != old.id and present(ctx, one))
    outcome = device.say("activate", new.id)
    assert code(outcome) == ("no_way_back", 2)
    assert outcome.error is not None
    assert outcome.error.details["lacking"] == [f"image {old.image}"]


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
    assert code(outcome) == ("internal", 143)
    assert "ended by SIGTERM" in str(outcome.error)
    assert f"back on {old.id}" in str(outcome.error)
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
    for refuse_at in range(1, 5):  # noqa: B007 - `full` reads it
        written.clear()
        outcome = device.say("activate", new.id)
        assert outcome.error is not None
        assert (device.journal().state, device.journal().current) == (COMMITTED, old.id)
        assert device.systemd.running_release() == old.id
    assert len(written) > 3
