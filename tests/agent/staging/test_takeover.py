"""Files of the download account: root writes, links and trusts nothing that is put in their place."""

from __future__ import annotations

import mmap
import os
import socket
import stat
import struct
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from tests.agent.verbs.test_engine_prepare import _emptied, nest  # noqa: F401 - a fixture
from tests.support.device_double import make_context
from thorctl.agent.core.account import Account
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.staging import takeover

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thorctl.agent.core.context import Context

NAME, SHA = "thorctl--tiny@c", "a" * 64
ME = Account("me", os.geteuid(), os.getegid())
BODY = b"weights"
NOBODY, ANY = 65534, 0xFFFFFFFF
ACCESS_LIST = "system.posix_acl_access"


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    ctx = make_context(tmp_path / "device")
    takeover.prepare(ctx, NAME, ME)
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_bytes(BODY)
    (tmp_path / "secret").chmod(0o600)
    return ctx


def incoming(ctx: Context) -> Path:
    return ctx.paths.incoming / NAME


def part(ctx: Context) -> Path:
    return incoming(ctx) / f"{SHA}.part"


def take(ctx: Context, tmp_path: Path, user: Account = ME) -> bool:
    with takeover.opened(ctx, NAME) as directory:
        assert directory is not None
        return takeover.take(directory, SHA, len(BODY), tmp_path / "root/weights", user)


def test_file_becomes_root_s_and_read_only(ctx: Context, tmp_path: Path) -> None:
    assert not take(ctx, tmp_path)
    part(ctx).write_bytes(BODY)
    part(ctx).chmod(0o6777)
    assert take(ctx, tmp_path)
    status = (tmp_path / "root/weights").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_nlink) == (0o444, os.geteuid(), 1)
    assert (tmp_path / "root/weights").read_bytes() == BODY
    assert list(incoming(ctx).iterdir()) == []


def _symlink(part: Path, secret: Path) -> None:
    part.symlink_to(secret)


def _hard_link(part: Path, secret: Path) -> None:
    os.link(secret, part)


def _fifo(part: Path, _: Path) -> None:
    os.mkfifo(part)


def _folder(part: Path, secret: Path) -> None:
    (part / "deep").mkdir(parents=True)
    (part / "deep/link").symlink_to(secret.parent)


def _depth(part: Path, _: Path) -> None:
    nest(part)


def _short(part: Path, _: Path) -> None:
    part.write_bytes(BODY[:-1])


def _sparse(part: Path, _: Path) -> None:
    part.write_bytes(BODY)
    os.truncate(part, 1 << 40)


def _device(part: Path, _: Path) -> None:
    os.mknod(part, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # where a file system is copied to it, say


def _socket(part: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one, pytest.MonkeyPatch.context() as patch:
        patch.chdir(part.parent)  # a socket's path holds 107 bytes
        one.bind(part.name)


@pytest.mark.usefixtures("_emptied")
@pytest.mark.parametrize(
    "attack",
    [
        _symlink,
        _hard_link,
        _fifo,
        _folder,
        _depth,
        _short,
        _sparse,
        pytest.param(_device, marks=pytest.mark.root),
        _socket,
    ],
)
def test_what_is_no_plain_file_is_refused(
    ctx: Context, tmp_path: Path, attack: Callable[[Path, Path], None]
) -> None:
    before = (tmp_path / "secret").stat()
    attack(part(ctx), tmp_path / "secret")
    with pytest.raises(AgentError) as error:
        take(ctx, tmp_path)
    assert error.value.code == "incoming_unsafe"
    after = (tmp_path / "secret").stat()
    assert (after.st_mode, after.st_uid, after.st_nlink) == (before.st_mode, before.st_uid, 1)
    assert (tmp_path / "secret").read_bytes() == BODY
    assert list((tmp_path / "root").iterdir()) == []


@pytest.mark.root  # only root can give a file away
def test_file_of_another_account_is_refused(ctx: Context, tmp_path: Path) -> None:
    part(ctx).write_bytes(BODY)
    os.chown(part(ctx), 4242, 4242)
    with pytest.raises(AgentError, match="belongs to the user id 4242"):
        take(ctx, tmp_path)


@pytest.mark.root  # only root can give a file a capability
def test_rights_beside_the_mode_do_not_stay(ctx: Context, tmp_path: Path) -> None:
    """An access list that lets another account write, and a file capability."""
    part(ctx).write_bytes(BODY)
    part(ctx).chmod(0o755)
    everybody = ((1, 7, ANY), (2, 7, NOBODY), (4, 7, ANY), (16, 7, ANY), (32, 7, ANY))
    entries = b"".join(struct.pack("<HHI", *one) for one in everybody)
    os.setxattr(part(ctx), ACCESS_LIST, struct.pack("<I", 2) + entries)
    os.setxattr(part(ctx), "security.capability", struct.pack("<5I", 0x02000001, ANY, 0, ANY, 0))
    assert take(ctx, tmp_path)
    taken = tmp_path / "root/weights"
    assert "security.capability" not in os.listxattr(taken)
    mask = os.getxattr(taken, ACCESS_LIST)[4 + 3 * 8 :][:4]
    assert struct.unpack("<HH", mask) == (16, 4)  # of the list: nobody in it may do more than read


def test_mapping_of_what_was_taken_writes_elsewhere(ctx: Context, tmp_path: Path) -> None:
    """Its descriptor is closed; the mapping alone is left."""
    part(ctx).write_bytes(BODY)
    with part(ctx).open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), len(BODY))
    assert take(ctx, tmp_path)
    mapped[:4] = b"evil"
    assert (tmp_path / "root/weights").read_bytes() == BODY


def test_writer_that_stays_cannot_change_what_was_taken(ctx: Context, tmp_path: Path) -> None:
    part(ctx).write_bytes(BODY)
    with part(ctx).open("r+b", buffering=0) as writer:
        assert take(ctx, tmp_path)
        writer.write(b"evil")
    assert (tmp_path / "root/weights").read_bytes() == BODY
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["weights"]


def test_takeover_that_was_cut_off_is_finished(ctx: Context, tmp_path: Path) -> None:
    part(ctx).write_bytes(BODY)
    part(ctx).rename(tmp_path / f"root/{takeover.NEW_PREFIX}{SHA}")
    assert take(ctx, tmp_path)
    assert (tmp_path / "root/weights").read_bytes() == BODY


@pytest.mark.parametrize("suffix", [".new", ".new.copy", ".part", ".kept", ".ranges", ".tmp"])
@pytest.mark.parametrize("writer", [False, True])
def test_names_of_the_checkpoint_are_none_of_the_takeover(
    ctx: Context, tmp_path: Path, suffix: str, *, writer: bool
) -> None:
    other = tmp_path / f"root/weights{suffix}"
    other.write_bytes(b"a file of the lock, taken before")
    assert not take(ctx, tmp_path)
    part(ctx).write_bytes(BODY)
    with part(ctx).open("r+b") if writer else nullcontext():
        assert take(ctx, tmp_path)
    assert (tmp_path / "root/weights").read_bytes() == BODY
    assert other.read_bytes() == b"a file of the lock, taken before"


def test_directory_with_a_file_s_name_and_suffix_is_left_alone(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "root/weights.new").mkdir()
    part(ctx).write_bytes(BODY)
    assert take(ctx, tmp_path)
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == ["weights", "weights.new"]


def test_longest_name_of_a_file_is_taken_over(ctx: Context, tmp_path: Path) -> None:
    part(ctx).write_bytes(BODY)
    with takeover.opened(ctx, NAME) as directory:
        assert directory is not None
        assert takeover.take(directory, SHA, len(BODY), tmp_path / "root" / ("w" * 255), ME)


@pytest.mark.parametrize("level", ["incoming", "checkpoint"])
def test_directory_that_is_a_link_is_not_entered(ctx: Context, tmp_path: Path, level: str) -> None:
    (tmp_path / "elsewhere" / NAME).mkdir(parents=True)
    place = ctx.paths.incoming if level == "incoming" else incoming(ctx)
    place.rename(place.with_name("moved"))
    place.symlink_to(tmp_path / "elsewhere" / ("" if level == "incoming" else NAME))
    with pytest.raises((AgentError, OSError)), takeover.opened(ctx, NAME):
        pass
    with pytest.raises((AgentError, OSError)):
        takeover.prepare(ctx, NAME, Account("other", ME.uid + 1, ME.gid))
    assert (tmp_path / "elsewhere").stat().st_uid == os.geteuid()
    assert takeover.kept_bytes(ctx, NAME) == 0


def test_measure_counts_and_refuses_what_the_fetcher_does_not_make(ctx: Context, tmp_path: Path) -> None:
    part(ctx).write_bytes(bytes(100_000))
    (incoming(ctx) / f"{SHA}.ranges").write_bytes(bytes(1000))
    with takeover.opened(ctx, NAME) as directory:
        assert directory is not None
        assert takeover.measure(directory) == (101_000, 100_000)
        (incoming(ctx) / "link").symlink_to(tmp_path)
        with pytest.raises(AgentError, match="is not a regular file"):
            takeover.measure(directory)


def test_removal_does_not_follow_links(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_bytes(b"x")
    (incoming(ctx) / "deep").mkdir()
    (incoming(ctx) / "deep/link").symlink_to(tmp_path / "kept")
    (incoming(ctx) / "link").symlink_to(tmp_path / "kept")
    takeover.remove(ctx, NAME)
    assert not incoming(ctx).exists()
    assert (tmp_path / "kept/file").exists()
    incoming(ctx).symlink_to(tmp_path / "kept")
    takeover.remove(ctx, NAME)
    assert not incoming(ctx).is_symlink()
    assert (tmp_path / "kept/file").exists()


@pytest.mark.root  # only root can give a file away
def test_directory_of_the_account_before_is_given_on(ctx: Context, tmp_path: Path) -> None:
    part(ctx).write_bytes(BODY)
    os.link(tmp_path / "secret", incoming(ctx) / "hard")
    (incoming(ctx) / "soft").symlink_to(tmp_path / "secret")
    takeover.prepare(ctx, NAME, Account("other", 4242, 4242))
    assert (incoming(ctx).stat().st_uid, part(ctx).stat().st_uid) == (4242, 4242)
    assert (tmp_path / "secret").stat().st_uid == 0
