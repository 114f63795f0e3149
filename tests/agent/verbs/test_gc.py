"""gc deletes what no state needs and nothing else; status tells drift."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.support.stateful_device import Device, Images
from thorctl.agent.staging import age

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from thorctl.agent.release.document import Release


A_DAY = 24 * 3600.0 + 60


def commit_one(device: Device, number: int) -> Release:
    release = device.release(number)
    device.done("activate", release.id)
    device.done("commit", "--without-smoke")
    return release


def staged(device: Device) -> set[str]:
    return {path.name for path in device.paths.releases.iterdir()}


def checkpoints(device: Device) -> set[str]:
    return {path.name for path in device.paths.checkpoints.iterdir()}


def test_what_a_state_needs_stays(device: Device) -> None:
    oldest, old, current = (commit_one(device, number) for number in (1, 2, 3))
    trial, newer, older = (device.release(number) for number in (4, 5, 6))
    age.note_release(device.context("stage"), newer.id)
    device.done("activate", trial.id)
    dry = device.say("gc", "--keep", "1", "--dry-run")
    assert not dry.changed
    assert len(staged(device)) == 6
    outcome = device.say("gc", "--keep", "1")
    assert outcome.changed
    assert outcome.json == dry.json
    kept = {old.id, current.id, trial.id, newer.id}
    assert staged(device) == kept
    assert checkpoints(device) == {one.checkpoint_name for one in (old, current, trial, newer)}
    gone = [(one["kind"], one["name"]) for one in outcome.json["removed"]]
    assert {name for kind, name in gone if kind == "release"} == {oldest.id, older.id}
    assert outcome.json["freed_bytes"] > 0
    assert not device.say("gc", "--keep", "1").changed
    device.done("rollback")  # and what is left is enough to go back
    assert device.systemd.running_release() == current.id


def test_an_image_that_a_kept_release_uses_stays(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted: list[str] = []

    def delete_image(_: Images, reference: str) -> bool:
        deleted.append(reference)
        return True

    monkeypatch.setattr(Images, "delete_image", delete_image)
    commit_one(device, 1)
    device.release(2)
    device.done("gc", "--keep", "0")
    assert deleted == []
    device.paths.journal.unlink()
    device.paths.engine_unit.unlink()
    device.done("gc", "--keep", "0")
    assert deleted == [f"registry.test/engine:thor-{'a' * 12}", f"registry.test/engine@sha256:{'a' * 64}"]
    assert staged(device) == set()


def test_downloads_under_way_stay_and_stale_ones_go(device: Device) -> None:
    device.release(1)
    fresh, stale, rubbish = (
        device.paths.checkpoints / name for name in (".partial-a@1", ".partial-b@2", ".tmp-c@3")
    )
    for place in (fresh, stale, rubbish):
        place.mkdir()
        (place / "file").write_bytes(b"x")
    age.note_download(device.context("stage"), "b@2")
    device.clock.skip(A_DAY)
    age.note_download(device.context("stage"), "a@1")
    device.done("gc")
    assert (fresh.exists(), stale.exists(), rubbish.exists()) == (True, False, False)
    device.clock.skip(A_DAY)
    device.done("gc")
    assert not fresh.exists()


def test_stale_download_of_the_account_goes_without_its_links(device: Device, tmp_path: Path) -> None:
    device.release(1)
    (tmp_path / "theirs").mkdir(mode=0o700)
    (tmp_path / "theirs/file").write_bytes(b"x")
    places = [device.paths.incoming / name for name in ("a@1", "b@2")]
    places.append(device.paths.checkpoints / ".partial-c@3")
    for place in places:
        (place / "deep").mkdir(parents=True)
        (place / "w.part").write_bytes(b"xyz")
        (place / "link").symlink_to(tmp_path / "theirs")
        (place / "deep/link").symlink_to(tmp_path / "theirs")
    device.done("gc")  # nobody has recorded when they began
    assert all(place.exists() for place in places)
    device.clock.skip(A_DAY)
    age.note_download(device.context("stage"), "a@1")
    gone = device.done("gc")["removed"]
    assert {(one["kind"], one["name"]) for one in gone} == {("partial", "b@2"), ("partial", ".partial-c@3")}
    assert [place.exists() for place in places] == [True, False, False]
    assert (tmp_path / "theirs/file").exists()
    assert (tmp_path / "theirs").stat().st_mode & 0o777 == 0o700


def test_a_name_of_the_accounts_that_is_no_text_keeps_gc_from_nothing(device: Device) -> None:
    (device.paths.incoming / os.fsdecode(b"\xff\x1b[2J")).mkdir(parents=True)
    assert device.say("gc").error is None
    device.clock.skip(2 * 24 * 3600.0)
    removed = device.say("gc").document("gc")["data"]["removed"]
    assert [one["kind"] for one in removed] == ["partial"]
    assert list(device.paths.incoming.iterdir()) == []


def test_record_of_a_deleted_checkpoint_goes_with_it(device: Device) -> None:
    commit_one(device, 1)
    device.release(2)
    assert len(list(device.paths.verified.iterdir())) == 2
    device.done("gc", "--keep", "0")
    assert [path.stem for path in device.paths.verified.iterdir()] == list(checkpoints(device))


def test_a_release_in_use_that_cannot_be_read_stops_gc(device: Device) -> None:
    release = commit_one(device, 1)
    device.release(2)
    document = device.paths.release_dir(release.id) / "release.json"
    document.chmod(0o644)
    document.write_text("{}")
    outcome = device.say("gc", "--keep", "0")
    assert outcome.error is not None
    assert outcome.error.code == "release_invalid"
    assert len(staged(device)) == 2


def test_status_of_an_empty_device_knows_what_it_does_not_know(device: Device) -> None:
    data = device.done("status")
    assert (data["state"], data["release"], data["lease"], data["drift"]) == ("empty", None, None, [])
    assert (data["l4t"], data["power_mode"], data["temperature_celsius"]) == (None, None, None)
    assert data["engine"]["ready"] is False


def test_status_on_trial(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    data = device.done("status")
    assert (data["state"], data["release"], data["previous"], data["target"]) == (
        "trial",
        new.id,
        old.id,
        new.id,
    )
    assert data["deadline"] is not None
    engine = data["engine"]
    assert (engine["unit"], engine["ready"], engine["model"], engine["restarts"]) == (
        "active",
        True,
        "tiny",
        0,
    )
    assert data["drift"] == []


def test_status_tells_drift(device: Device) -> None:
    release = commit_one(device, 1)
    device.paths.engine_unit.write_text("# changed by hand\n")
    serve = device.paths.release_dir(release.id) / "serve.yaml"
    serve.chmod(0o644)
    serve.write_text("a: 2\n")
    weights = device.paths.checkpoints / release.checkpoint_name / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"short")
    found = {one["what"]: one["found"] for one in device.done("status")["drift"]}
    assert set(found) == {"installed unit", "release serve.yaml", "checkpoint model.safetensors"}
    assert found["checkpoint model.safetensors"] == "file_wrong_size"


def test_progress_of_a_dead_process_is_not_shown(device: Device) -> None:
    ctx = device.context("stage")
    ctx.progress.update("image", release="x", done_bytes=1, total_bytes=2)
    assert device.done("status")["progress"]["phase"] == "image"
    text = device.paths.progress_json.read_text().replace(f'"pid": {os.getpid()}', '"pid": 4194304')
    device.paths.progress_json.write_text(text)
    assert device.done("status")["progress"] is None
