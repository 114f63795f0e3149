"""Downloads that an agent before the fetcher began: continued, whatever else lies in their directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.hub_stage import BIG, FILES, refused, release_of, say
from thorctl.agent.release import needs
from thorctl.agent.staging import checkpoint, earlier

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cutting_hub import CuttingHub
    from thorctl.agent.core.context import Context

HALF = 4_000_000


@pytest.mark.parametrize("unfinished", ["part", "hf", "both"])
def test_earlier_download_is_continued(
    ctx: Context, hub: CuttingHub, tmp_path: Path, unfinished: str
) -> None:
    release = release_of(hub)
    (big,) = [file for file in release.checkpoint_files if file.size == len(BIG)]
    old = earlier.directory(ctx, release)
    parts, downloads = old / ".cache/thor-parts", old / ".cache/huggingface/download"
    parts.mkdir(parents=True)
    downloads.mkdir(parents=True)
    (old / "config.json").write_bytes(FILES["config.json"])
    incomplete = downloads / f"xYz=.{big.sha256}.0a1b.incomplete"
    place = parts / big.sha256 if unfinished == "part" else incomplete
    place.write_bytes(BIG[:HALF])
    if unfinished == "both":  # the second name that the earlier agent gave it
        os.link(incomplete, parts / big.sha256)
    (tmp_path / "secret").write_bytes(FILES["tokenizer/vocab.json"])
    (old / "tokenizer").symlink_to(tmp_path)
    assert needs.assess(ctx, release).checkpoint_bytes == len(BIG) - HALF + len(FILES["tokenizer/vocab.json"])
    assert say(ctx, release).changed
    assert hub.sent == len(BIG) - HALF + len(FILES["tokenizer/vocab.json"])
    assert sorted(path.name for path in ctx.paths.checkpoints.iterdir()) == [release.checkpoint_name]
    assert (tmp_path / "secret").exists()


def test_link_in_place_of_an_earlier_download_is_removed(
    ctx: Context, hub: CuttingHub, tmp_path: Path
) -> None:
    release = release_of(hub)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/config.json").write_bytes(FILES["config.json"])
    ctx.paths.checkpoints.mkdir(parents=True)
    earlier.directory(ctx, release).symlink_to(tmp_path / "theirs")
    assert say(ctx, release).changed
    assert (tmp_path / "theirs/config.json").exists()
    assert not os.path.lexists(earlier.directory(ctx, release))


def test_earlier_bytes_that_are_wrong_are_fetched_anew(ctx: Context, hub: CuttingHub) -> None:
    release = release_of(hub)
    old = earlier.directory(ctx, release)
    old.mkdir(parents=True)
    (old / "model.safetensors").write_bytes(b"X" + BIG[1:])
    assert refused(ctx, release).code == "file_wrong_hash"
    assert say(ctx, release).changed
    assert (checkpoint.final_dir(ctx, release) / "model.safetensors").read_bytes() == BIG
