"""stage: real ``hf download`` from a real HTTP hub that cuts, lies and recovers; the container is left out.

The container device's tests stage through Docker; here a program named ``docker`` runs hf without one.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.agent.hub_stage import BIG, FILES, FakeDocker, NoContainers, refused, release_of, say
from thorctl.agent import checkpoint, hub_download, hub_parts, needs, plan
from thorctl.agent.checkpoint_check import MARKER
from thorctl.agent.files import Files
from thorctl.agent.outcome import AgentError
from thorctl.agent.release_document import canonical

if TYPE_CHECKING:
    from tests.agent.cutting_hub import CuttingHub
    from thorctl.agent.context import Context


def test_everything_arrives_once(ctx: Context, hub: CuttingHub, docker: FakeDocker) -> None:
    release = release_of(hub)
    outcome = say(ctx, release)
    assert outcome.changed
    directory = checkpoint.final_dir(ctx, release)
    found = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    assert set(found) == {*FILES, MARKER}  # nothing of hf's own is left among the weights
    assert all(found[name].read_bytes() == content for name, content in FILES.items())
    assert all(found[name].stat().st_mode & 0o777 == 0o444 for name in FILES)
    assert ctx.paths.release_dir(release.id).stat().st_mode & 0o777 == 0o555
    assert not list(ctx.paths.checkpoints.glob(".partial-*"))
    again = say(ctx, release)
    assert (again.changed, again.data["downloaded_bytes"], len(docker.downloads)) == (False, 0, 1)


def test_a_cut_download_says_how_much_is_there_and_resumes(ctx: Context, hub: CuttingHub) -> None:
    release = release_of(hub)
    hub.budget = 25_000_000
    error = refused(ctx, release)
    assert (error.code, error.exit_code) == ("download_interrupted", 1)
    kept = error.details["done_bytes"]
    assert 10_000_000 <= kept < len(BIG)
    hub.budget = None
    hub.sent = 0
    assert say(ctx, release).changed
    assert hub.sent <= len(BIG) - 10_000_000 + 1000  # it went on inside the file
    assert needs.assess(ctx, release).nothing


def test_a_connection_reset_while_it_goes_on_inside_a_file_is_the_hub_s_fault(
    ctx: Context, hub: CuttingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(hub)
    hub.budget = 25_000_000
    assert refused(ctx, release).code == "download_interrupted"
    hub.budget = None

    def reset(*_: object) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    monkeypatch.setattr(hub_parts, "_append", reset)
    assert say(ctx, release).changed  # hf fetches the file anew


@pytest.mark.parametrize(
    ("served", "code"),
    [(b"X" + BIG[1:], "file_wrong_hash"), (BIG[:-7], "file_wrong_size")],
)
def test_a_bad_file_is_deleted_and_only_it_is_fetched_again(
    ctx: Context, hub: CuttingHub, docker: FakeDocker, served: bytes, code: str
) -> None:
    release = release_of(hub)
    hub.files["thorctl/tiny"] = {**FILES, "model.safetensors": served}
    error = refused(ctx, release)
    assert error.code == code
    assert [one["path"] for one in error.details["files"]] == ["model.safetensors"]
    partial = checkpoint.partial_dir(ctx, release)
    assert not (partial / "model.safetensors").exists()
    assert (partial / "config.json").exists()
    hub.files["thorctl/tiny"] = FILES
    assert say(ctx, release).changed
    assert docker.downloads == [list(FILES), ["model.safetensors"]]


def test_a_file_the_hub_lacks(ctx: Context, hub: CuttingHub) -> None:
    hub.files["thorctl/tiny"] = {name: FILES[name] for name in ("config.json", "tokenizer/vocab.json")}
    error = refused(ctx, release_of(hub))
    assert error.code == "file_missing"
    assert "model.safetensors" in str(error)


def test_a_repository_the_hub_lacks(ctx: Context, hub: CuttingHub) -> None:
    error = refused(ctx, release_of(hub, repository="thorctl/other"))
    assert error.code == "file_missing"


def test_a_hub_that_is_away(ctx: Context, hub: CuttingHub, docker: FakeDocker) -> None:
    release = release_of(hub)
    hub.close()
    error = refused(ctx, release)
    assert (error.code, error.details["done_bytes"]) == ("download_interrupted", 0)
    assert len(docker.downloads) == hub_download.FRUITLESS_TRIES


def test_a_damaged_file_is_found_and_replaced_in_place(
    ctx: Context, hub: CuttingHub, docker: FakeDocker
) -> None:
    release = release_of(hub)
    say(ctx, release)
    directory = checkpoint.final_dir(ctx, release)
    identity = directory.stat().st_ino
    (directory / "config.json").chmod(0o644)
    (directory / "config.json").write_bytes(b"{ \n")
    os.utime(directory / "config.json", ns=(1, 1))
    assert say(ctx, release).changed
    assert (directory / "config.json").read_bytes() == FILES["config.json"]
    assert directory.stat().st_ino == identity  # an engine that runs from it keeps its directory
    assert docker.downloads[1:] == [["config.json"]]
    assert needs.assess(ctx, release).nothing


def test_too_little_space_is_said_before_the_first_byte(
    ctx: Context, hub: CuttingHub, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(hub)
    disks = {"state_free_bytes": 1_000_000, "docker_free_bytes": 1_000_000, "same_filesystem": True}
    monkeypatch.setattr(needs, "disks", lambda _: disks)
    error = refused(ctx, release)
    assert error.code == "disk_too_small"
    assert error.details["short"][0]["free_bytes"] == 1_000_000
    assert (docker.downloads, hub.sent) == ([], 0)


def test_space_is_counted_for_image_unpacking_checkpoint_and_reserve_beside_what_is_there(
    ctx: Context, hub: CuttingHub, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(hub)
    monkeypatch.setattr(NoContainers, "image", lambda *_: None)  # it is to be pulled
    wanted = 1000 * (1 + 3) + sum(map(len, FILES.values())) + 200
    free = {"state_free_bytes": wanted - 1, "docker_free_bytes": wanted - 1, "same_filesystem": True}
    monkeypatch.setattr(needs, "disks", lambda _: free)
    error = refused(ctx, release)
    assert (error.code, error.details["short"][0]["required_bytes"]) == ("disk_too_small", wanted)
    assert (docker.downloads, hub.sent) == ([], 0)
    monkeypatch.setattr(NoContainers, "pull", lambda *_: iter([{"error": "cut"}]))
    free.update(state_free_bytes=wanted, docker_free_bytes=wanted)
    assert refused(ctx, release).code == "image_pull_failed"  # one byte more, and it begins


def test_a_disk_that_fills_up_is_not_tried_again(
    ctx: Context, hub: CuttingHub, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_download, "FRUITLESS_TRIES", 3)
    docker.program.write_text("#!/bin/sh\necho 'OSError: [Errno 28] No space left on device' >&2\nexit 1\n")
    error = refused(ctx, release_of(hub))
    assert (error.code, len(docker.downloads)) == ("disk_too_small", 1)
    assert "thor-agent gc" in error.remedy


def test_a_disk_that_is_full_when_the_release_is_written(
    ctx: Context, hub: CuttingHub, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(hub)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Files, "write", full)
        with pytest.raises(AgentError) as error:
            say(ctx, release)
    assert (error.value.code, error.value.data["release"]) == ("disk_too_small", release.id)
    assert not ctx.paths.release_dir(release.id).exists()
    assert say(ctx, release).changed
    assert len(docker.downloads) == 1  # what came was kept


def test_the_hub_of_the_site_goes_before_the_lock_s(ctx: Context, hub: CuttingHub) -> None:
    release = release_of(hub, endpoint="http://127.0.0.1:9")
    ctx.paths.device_json.parent.mkdir(parents=True)
    ctx.paths.device_json.write_text(json.dumps({"hub_endpoint": hub.url}))
    assert say(ctx, release).changed


def test_plan_says_what_stage_then_does(ctx: Context, hub: CuttingHub) -> None:
    release = release_of(hub)
    path = ctx.paths.at("/plan.json")
    path.write_bytes(canonical(release.document))
    args = argparse.Namespace(release=str(path))
    before = plan.run(ctx, args).data
    assert (before["already"], before["download_bytes"]) == ("absent", sum(map(len, FILES.values())))
    names = [action["action"] for action in before["actions"]]
    assert names == ["download_checkpoint", "write_release", "restart_engine"]
    assert [one["path"] for one in before["diff"]] == ["thor-engine.service"]
    assert not ctx.paths.checkpoints.exists()
    say(ctx, release)
    after = plan.run(ctx, args).data
    assert (after["already"], after["download_bytes"]) == ("staged", 0)
    assert [action["action"] for action in after["actions"]] == ["restart_engine"]
