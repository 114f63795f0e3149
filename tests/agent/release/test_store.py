"""Two documents of one id: the id holds 48 bits, so one can be made for any other. The first one stays."""

from __future__ import annotations

import copy
import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.trial_steps import commit_one
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import LIMIT_BYTES, Release, parse
from thorctl.agent.state.journal import Journal, from_document, load_journal
from thorctl.protocol import canonical_json
from thorctl.protocol.states import COMMITTED, TRIAL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stateful_device import Device

COLLIDING = "tiny-0123456789ab"


def malicious(release: Release, monkeypatch: pytest.MonkeyPatch) -> Release:
    """A document of the same id whose unit runs something else, as 207 s of one core make one."""
    document = copy.deepcopy(release.document)
    document["files"]["thor-engine.service"]["content"] = "[Service]\nExecStartPre=/bin/evil\n"
    monkeypatch.setattr(canonical_json, "release_id", lambda _: release.id)
    return parse(canonical_json.encode(document))


@pytest.fixture
def offered(device: Device, tmp_path: Path) -> Path:
    return tmp_path / "offered.json"


def test_stage_of_a_colliding_document_is_release_conflict(
    device: Device, offered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = commit_one(device, 1)
    evil = malicious(release, monkeypatch)
    offered.write_bytes(canonical_json.encode(evil.document))
    before = (device.paths.release_dir(release.id) / "thor-engine.service").read_bytes()
    for verb in ("stage", "plan"):
        error = device.say(verb, "--release", str(offered)).error
        assert error is not None
        assert (error.code, error.exit_code) == ("release_conflict", 2)
        assert release.sha256 in error.message
        assert evil.sha256 in error.message
    assert (device.paths.release_dir(release.id) / "thor-engine.service").read_bytes() == before


def test_journal_remembers_though_the_document_on_disk_is_damaged(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = commit_one(device, 1)
    evil = malicious(release, monkeypatch)
    place = device.paths.release_dir(release.id) / "release.json"
    place.chmod(0o644)
    place.write_text("{")
    with pytest.raises(AgentError) as refused:
        release_store.write(device.context("stage"), evil)
    assert refused.value.code == "release_conflict"
    assert release_store.write(device.context("stage"), release)  # its own document mends it
    assert release_store.load(device.paths, release.id).sha256 == release.sha256


def put_on_disk(device: Device, release: Release) -> None:
    """In place of the files of its id, as an earlier agent did."""
    folder = device.paths.release_dir(release.id)
    folder.chmod(0o755)
    for name, (_, content) in release.files().items():
        (folder / name).chmod(0o644)
        (folder / name).write_bytes(content)


def test_replaced_on_disk_is_not_committed(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_one(device, 1)
    new = device.release(2)
    device.done("activate", new.id)
    device.smoke_passed(new)
    put_on_disk(device, malicious(new, monkeypatch))
    for words in (("commit",), ("commit", "--without-smoke"), ("activate", new.id), ("smoke",)):
        error = device.say(*words).error
        assert error is not None
        assert error.code == "release_conflict", words
    assert device.journal().state == TRIAL


def test_replaced_on_disk_is_not_rolled_back_to(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    old = commit_one(device, 1)
    device.done("activate", device.release(2).id)
    put_on_disk(device, malicious(old, monkeypatch))
    error = device.say("rollback").error
    assert error is not None
    assert error.code == "release_conflict"
    assert b"evil" not in device.paths.engine_unit.read_bytes()


def test_replaced_on_disk_is_not_recovered(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    old = commit_one(device, 1)
    put_on_disk(device, malicious(old, monkeypatch))
    device.systemd.power_cut()
    device.say("recover")
    assert b"evil" not in device.paths.engine_unit.read_bytes()


def test_status_and_journal_say_the_full_hashes(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    status = device.done("status")
    assert (status["release_sha256"], status["target_sha256"]) == (new.sha256, new.sha256)
    assert status["previous_sha256"] == old.sha256
    assert new.id.endswith(new.sha256[:12])
    device.done("rollback")
    journal = device.journal()
    assert (journal.state, journal.current_sha256, journal.target_sha256) == (COMMITTED, old.sha256, None)


def test_journal_of_an_earlier_agent_is_read_and_goes_on(device: Device) -> None:
    old = commit_one(device, 1)
    document = device.journal().document()
    for key in ("current_sha256", "previous_sha256", "target_sha256"):
        del document[key]
    device.paths.journal.write_text(json.dumps(document))
    assert device.done("status")["release_sha256"] == old.sha256
    device.done("activate", device.release(2).id)
    device.done("rollback")
    assert device.journal().current == old.id


def test_an_earlier_agent_reads_this_journal() -> None:
    """It takes the keys it knows and leaves the rest; schema and meaning of those are as before."""
    journal = Journal(COMMITTED, current=COLLIDING, current_sha256="a" * 64)
    document = journal.document()
    known = {
        *("schema", "state", "current", "previous", "target", "since", "deadline", "activated_at"),
        *("activation", "boot", "reason", "left"),
    }
    assert known <= set(document)
    assert document["schema"] == 1
    assert from_document({key: document[key] for key in known}).current == COLLIDING


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("too large", b" " * LIMIT_BYTES + b"{}"),
        ("too deep", b"[" * (LIMIT_BYTES // 2)),
        ("deep objects", b'{"a":' * (LIMIT_BYTES // 8)),
        ("endless number", b'{"schema": ' + b"9" * 1_000_000 + b"}"),
    ],
)
def test_a_document_without_bounds_is_refused_at_once(name: str, text: bytes) -> None:
    began = time.process_time()
    with pytest.raises(AgentError) as refused:
        parse(text)
    assert refused.value.code == "release_invalid"
    assert time.process_time() - began < 5


def test_a_number_that_is_none_is_refused(device: Device) -> None:
    document = copy.deepcopy(device.release(1).document)
    document["device_class"]["reserve"]["disk_bytes"] = float("inf")
    document["id"] = canonical_json.release_id(document)
    with pytest.raises(AgentError) as refused:
        parse(canonical_json.encode(document))
    assert refused.value.code == "release_invalid"


def test_a_file_without_end_is_not_read_to_its_end(device: Device) -> None:
    error = device.say("plan", "--release", "/dev/zero").error
    assert error is not None
    assert error.code == "release_invalid"


def test_the_hash_is_that_of_the_id(device: Device) -> None:
    release = device.release(1)
    assert release.id == f"tiny-{canonical_json.release_sha256(release.document)[:12]}"
    assert load_journal(device.paths).current is None
