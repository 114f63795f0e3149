"""stage: the real fetcher, without its sandbox, from a real HTTP hub that cuts, lies and recovers."""

from __future__ import annotations

import argparse
import errno
import json
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.hub_stage import BIG, FILES, NoContainers, Sandboxless, refused, release_of, say
from thorctl.agent.core.files import Files
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.release import needs
from thorctl.agent.staging import checkpoint, fetcher, image
from thorctl.agent.verbs import plan
from thorctl.protocol import canonical_json
from thorctl.protocol.encode import encode
from thorctl.protocol.facts import Space
from thorctl.protocol.results import Staged

if TYPE_CHECKING:
    from tests.support.cutting_hub import CuttingHub
    from thorctl.agent.core.context import Context


def test_everything_arrives_once(ctx: Context, hub: CuttingHub, runner: Sandboxless) -> None:
    release = release_of(hub)
    outcome = say(ctx, release)
    assert outcome.changed
    directory = checkpoint.final_dir(ctx, release)
    found = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    assert set(found) == set(FILES)  # nothing else is left among the weights
    assert all(found[name].read_bytes() == content for name, content in FILES.items())
    assert all(found[name].stat().st_mode & 0o777 == 0o444 for name in FILES)
    assert ctx.paths.release_dir(release.id).stat().st_mode & 0o777 == 0o555
    assert [path.name for path in ctx.paths.checkpoints.iterdir()] == [directory.name]
    assert list(ctx.paths.incoming.iterdir()) == []
    sent = sum(map(len, FILES.values()))
    assert (outcome.json["checkpoint"]["downloaded_bytes"], hub.sent) == (sent, sent)
    again = say(ctx, release)
    assert (again.changed, again.json["downloaded_bytes"], len(runner.started)) == (False, 0, 1)


def test_a_cut_download_says_how_much_is_there_and_resumes(ctx: Context, hub: CuttingHub) -> None:
    release = release_of(hub)
    hub.budget = 4_000_000
    error = refused(ctx, release)
    assert (error.code, error.exit_code) == ("download_interrupted", 1)
    assert error.details["retriable"]
    kept = encode(error.details)["done_bytes"]
    assert 1_000_000 <= kept < len(BIG)
    hub.budget, hub.sent = None, 0
    assert say(ctx, release).changed
    assert hub.sent == sum(map(len, FILES.values())) - kept  # it went on at the byte
    assert needs.assess(ctx, release).nothing


@pytest.mark.parametrize(
    ("served", "code"),
    [(b"X" + BIG[1:], "file_wrong_hash"), (BIG[:-7], "file_wrong_size"), (BIG + b"X", "file_wrong_size")],
)
def test_other_bytes_of_the_hub_are_told_before_they_are_fetched(
    ctx: Context, hub: CuttingHub, served: bytes, code: str
) -> None:
    release = release_of(hub)
    hub.files["thorctl/tiny"] = {**FILES, "model.safetensors": served}
    hub.tells = code == "file_wrong_hash"
    error = refused(ctx, release)
    assert (error.code, error.details["retriable"]) == (code, False)
    assert "model.safetensors" in error.message
    assert encode(error.details)["done_bytes"] < len(BIG) // 2
    hub.files["thorctl/tiny"] = FILES
    assert say(ctx, release).changed


def test_a_bad_file_is_deleted_and_only_it_is_fetched_again(ctx: Context, hub: CuttingHub) -> None:
    release = release_of(hub)
    hub.files["thorctl/tiny"] = {**FILES, "model.safetensors": b"X" + BIG[1:]}
    hub.tells = False  # of what SHA-256 a file is
    error = refused(ctx, release)
    assert error.code == "file_wrong_hash"
    assert [one["path"] for one in encode(error.details)["files"]] == ["model.safetensors"]
    hub.files["thorctl/tiny"], hub.sent = FILES, 0
    assert say(ctx, release).changed
    assert hub.sent == len(BIG)


def test_a_file_the_hub_lacks(ctx: Context, hub: CuttingHub) -> None:
    hub.files["thorctl/tiny"] = {name: FILES[name] for name in ("config.json", "tokenizer/vocab.json")}
    error = refused(ctx, release_of(hub))
    assert error.code == "file_missing"
    assert "model.safetensors" in str(error)


def test_a_repository_the_hub_lacks(ctx: Context, hub: CuttingHub) -> None:
    error = refused(ctx, release_of(hub, repository="thorctl/other"))
    assert error.code == "file_missing"


def test_a_hub_that_is_away(ctx: Context, hub: CuttingHub) -> None:
    release = release_of(hub)
    hub.close()
    error = refused(ctx, release)
    assert (error.code, encode(error.details)["done_bytes"]) == ("hub_unreachable", 0)
    assert "Connection refused" in error.message


def test_a_damaged_file_is_found_and_replaced_in_place(
    ctx: Context, hub: CuttingHub, runner: Sandboxless
) -> None:
    release = release_of(hub)
    say(ctx, release)
    directory = checkpoint.final_dir(ctx, release)
    identity = directory.stat().st_ino
    (directory / "config.json").chmod(0o644)
    (directory / "config.json").write_bytes(b"{ \n")
    hub.sent = 0
    assert say(ctx, release).changed
    assert (directory / "config.json").read_bytes() == FILES["config.json"]
    assert directory.stat().st_ino == identity  # an engine that runs from it keeps its directory
    assert hub.sent == len(FILES["config.json"])
    assert needs.assess(ctx, release).nothing


def test_too_little_space_is_said_before_the_first_byte(
    ctx: Context, hub: CuttingHub, runner: Sandboxless, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(hub)
    space = Space(state_free_bytes=1_000_000, docker_free_bytes=1_000_000, same_filesystem=True)
    monkeypatch.setattr(needs, "space", lambda _: space)
    error = refused(ctx, release)
    assert error.code == "disk_too_small"
    assert encode(error.details)["short"][0]["free_bytes"] == 1_000_000
    assert (runner.started, hub.sent) == ([], 0)


def test_space_is_counted_for_image_unpacking_checkpoint_and_reserve_beside_what_is_there(
    ctx: Context, hub: CuttingHub, runner: Sandboxless, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(hub)
    monkeypatch.setattr(NoContainers, "image", lambda *_: None)  # it is to be pulled
    wanted = 1000 * (1 + 3) + sum(map(len, FILES.values())) + 200
    free = Space(state_free_bytes=wanted - 1, docker_free_bytes=wanted - 1, same_filesystem=True)
    monkeypatch.setattr(needs, "space", lambda _: free)
    error = refused(ctx, release)
    assert (error.code, encode(error.details)["short"][0]["required_bytes"]) == ("disk_too_small", wanted)
    assert (runner.started, hub.sent) == ([], 0)
    monkeypatch.setattr(NoContainers, "pull", lambda *_: iter([{"error": "cut"}]))
    enough = replace(free, state_free_bytes=wanted, docker_free_bytes=wanted)
    monkeypatch.setattr(needs, "space", lambda _: enough)
    failed = refused(ctx, release)
    assert failed.code == "image_pull_failed"  # one byte more, and it begins


def test_a_disk_that_fills_up_is_not_tried_again(ctx: Context, hub: CuttingHub, runner: Sandboxless) -> None:
    ended = json.dumps({"end": {"code": "disk_too_small", "reason": "[Errno 28] No space left on device"}})
    runner.program = ["sh", "-c", f"echo '{ended}'; exit 1"]
    error = refused(ctx, release_of(hub))
    assert (error.code, len(runner.started)) == ("disk_too_small", 1)
    assert "thor-agent gc" in error.remedy


def test_a_fetcher_that_ends_without_a_word_has_failed(
    ctx: Context, hub: CuttingHub, runner: Sandboxless
) -> None:
    runner.program = ["sh", "-c", "printf 'no such \\033[31mmodule\\n'"]
    error = refused(ctx, release_of(hub))
    assert (error.code, error.details["reason"]) == ("fetcher_failed", "no such  [31mmodule")


def test_a_fetcher_that_writes_without_end_is_stopped(
    ctx: Context, hub: CuttingHub, runner: Sandboxless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "SLACK_BYTES", 1_000_000)
    release = release_of(hub)
    more = ctx.paths.incoming / release.checkpoint_name / "more"
    runner.program = ["sh", "-c", f"head -c 50000000 /dev/zero > {more}; sleep 60; echo late > {more}"]
    assert refused(ctx, release).code == "fetcher_exceeded"
    assert more.stat().st_size > 1_000_000


def test_a_failed_pull_ends_the_download(
    ctx: Context, hub: CuttingHub, monkeypatch: pytest.MonkeyPatch, runner: Sandboxless
) -> None:
    release = release_of(hub)
    runner.program = ["sleep", "60"]

    def fails(*_: object) -> int:
        while not runner.started:
            time.sleep(0.01)
        raise AgentError("image_pull_failed", "no", "no")

    monkeypatch.setattr(image, "ensure", fails)
    began = time.monotonic()
    assert refused(ctx, release).code == "image_pull_failed"
    assert time.monotonic() - began < 30


def test_image_and_checkpoint_come_side_by_side(
    ctx: Context, hub: CuttingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, seen = release_of(hub), []

    def pull(part: Context, _: object) -> int:
        until = time.monotonic() + 30
        while time.monotonic() < until and hub.sent < 1_000_000:
            time.sleep(0.01)
            part.progress.update("image", done_bytes=3, total_bytes=1000)
            with suppress(OSError, ValueError):
                seen.append(json.loads(ctx.paths.progress_json.read_text()))
        return 3

    monkeypatch.setattr(image, "ensure", pull)

    def slow(*_: object) -> bool:
        time.sleep(0.3)
        return False

    hub.odd = slow
    assert say(ctx, release).json["image"]["downloaded_bytes"] == 3
    both = [one for one in seen if one["parts"] and "checkpoint" in one["parts"]]
    assert both
    assert both[-1]["parts"]["image"] == {"done_bytes": 3, "total_bytes": 1000}
    assert both[-1]["total_bytes"] == 1000 + sum(map(len, FILES.values()))


def test_a_disk_that_is_full_when_the_release_is_written(
    ctx: Context, hub: CuttingHub, runner: Sandboxless, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(hub)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Files, "write", full)
        patch.setattr(image, "ensure", lambda *_: 0)
        with pytest.raises(AgentError) as error:
            say(ctx, release)
    assert (error.value.code, error.value.data) == ("disk_too_small", Staged(release.id))
    assert not ctx.paths.release_dir(release.id).exists()
    assert say(ctx, release).changed
    assert len(runner.started) == 1  # what came was kept


def test_the_hub_of_the_site_goes_before_the_lock_s(ctx: Context, hub: CuttingHub) -> None:
    release = release_of(hub, endpoint="http://127.0.0.1:9")
    ctx.paths.device_json.parent.mkdir(parents=True)
    ctx.paths.device_json.write_text(json.dumps({"hub_endpoint": hub.url}))
    assert say(ctx, release).changed


def test_plan_says_what_stage_then_does(ctx: Context, hub: CuttingHub) -> None:
    release = release_of(hub)
    path = ctx.paths.at("/plan.json")
    path.write_bytes(canonical_json.encode(release.document))
    args = argparse.Namespace(release=str(path))
    before = plan.run(ctx, args).json
    assert (before["already"], before["download_bytes"]) == ("absent", sum(map(len, FILES.values())))
    names = [action["action"] for action in before["actions"]]
    assert names == ["download_checkpoint", "write_release", "restart_engine"]
    assert before["actions"][-1]["detail"].endswith("; cold start, up to 1 min")
    assert [one["path"] for one in before["diff"]] == ["thor-engine.service"]
    assert not ctx.paths.checkpoints.exists()
    say(ctx, release)
    after = plan.run(ctx, args).json
    assert (after["already"], after["download_bytes"]) == ("staged", 0)
    assert [action["action"] for action in after["actions"]] == ["restart_engine"]
