"""The account without a login: a download is its own while it lasts, and root's before anybody trusts it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.agent.hub_stage import TOKEN, FakeDocker, Noting, give_token, refused, release_of, say
from thorctl.agent import account, checkpoint, hub_download
from thorctl.agent.account import ROOT, Account

if TYPE_CHECKING:
    from pathlib import Path

    from tests.agent.cutting_hub import CuttingHub
    from thorctl.agent.context import Context


@dataclass(frozen=True)
class Entry:
    """The part of a passwd entry that is read."""

    pw_name: str
    pw_uid: int
    pw_gid: int
    pw_shell: str = "/usr/sbin/nologin"


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with a service's account, a person's, and root's."""
    entries = {"thor": Entry("thor", 997, 996), "ann": Entry("ann", 1000, 1000), "root": Entry("root", 0, 0)}
    entries["robot"] = Entry("robot", 500, 500, "/bin/bash")
    monkeypatch.setattr("pwd.getpwnam", lambda name: entries[name])


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was given to whom, in that order."""
    given: list[tuple[str, int]] = []
    monkeypatch.setattr("os.lchown", lambda path, uid, _: given.append((str(path), uid)))
    monkeypatch.setattr("os.chown", lambda path, uid, _: given.append((str(path), uid)))
    return given


def name_account(ctx: Context, name: object) -> None:
    ctx.paths.device_json.parent.mkdir(parents=True, exist_ok=True)
    ctx.paths.device_json.write_text(json.dumps({"account": name}))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("thor", Account(997, 996)),
        ("ann", ROOT),
        ("robot", ROOT),
        ("root", ROOT),
        ("nobody-knows", ROOT),
        ("", ROOT),
        (None, ROOT),
    ],
)
@pytest.mark.usefixtures("accounts")
def test_only_a_service_s_account_is_taken(ctx: Context, name: object, found: Account) -> None:
    assert account.find(ctx) == ROOT
    name_account(ctx, name)
    assert account.find(ctx) == found


@pytest.mark.usefixtures("accounts")
def test_the_download_is_the_account_s_and_the_checkpoint_root_s(
    ctx: Context,
    hub: CuttingHub,
    docker: FakeDocker,
    owners: list[tuple[str, int]],
) -> None:
    name_account(ctx, "thor")
    give_token(ctx)
    noting = Noting(docker.program)
    object.__setattr__(ctx, "runner", noting)
    release = release_of(hub)
    assert say(ctx, release).changed
    assert noting.said[noting.said.index("--user") + 1] == "997:996"
    partial, lent = str(checkpoint.partial_dir(ctx, release)), str(ctx.paths.run_dir / "hub-token")
    assert owners[0] == (partial, 997)
    assert (lent, 997) in owners
    last = dict(owners)
    assert {uid for path, uid in last.items() if path != lent} == {0}
    for file in release.checkpoint_files:
        assert last[f"{partial}/{file.path}"] == 0
    assert f"src={lent}," in " ".join(noting.said)
    assert not (ctx.paths.run_dir / "hub-token").exists()
    assert TOKEN not in " ".join(noting.said)


@pytest.mark.usefixtures("accounts")
def test_a_cut_download_is_root_s_again_and_leaves_no_token(
    ctx: Context,
    hub: CuttingHub,
    owners: list[tuple[str, int]],
) -> None:
    name_account(ctx, "thor")
    give_token(ctx)
    hub.budget = 20_000_000
    assert refused(ctx, release_of(hub)).code == "download_interrupted"
    assert owners[-1][1] == 0
    assert not (ctx.paths.run_dir / "hub-token").exists()


def test_links_are_not_followed(tmp_path: Path, owners: list[tuple[str, int]]) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    account.own(Account(5, 5), inside)
    assert [path for path, _ in owners] == [str(inside), str(inside / "link")]


def test_a_link_that_hf_left_is_not_written_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("root's")
    partial = tmp_path / "partial"
    (partial / ".cache/thor-parts").mkdir(parents=True)
    (partial / ".cache/thor-parts/one").symlink_to(outside / "file")
    (partial / "deep").symlink_to(outside)
    (partial / "whole").write_text("stays")
    account.drop_links(partial)
    assert sorted(path.name for path in partial.rglob("*")) == [".cache", "thor-parts", "whole"]
    assert (outside / "file").read_text() == "root's"


@pytest.mark.usefixtures("accounts")
def test_what_a_killed_stage_left_to_the_account_is_taken_back(
    ctx: Context,
    hub: CuttingHub,
    owners: list[tuple[str, int]],
) -> None:
    name_account(ctx, "thor")
    release = release_of(hub)
    partial = checkpoint.partial_dir(ctx, release)
    partial.mkdir(parents=True)
    assert hub_download._once(ctx, release, partial, []) == (0, "")
    assert owners[-1] == (str(partial), 0)
