"""Releases on disk: written completely and read-only, and verified when read."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.agent.core.files import TEMPORARY_PREFIX
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.release.document import ID, LIMIT_BYTES, Release, parse
from thorctl.agent.staging import age
from thorctl.agent.state.journal import load_journal

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.paths import Paths


def read_argument(argument: str) -> Release:
    """Return the release document of ``--release FILE|-``.

    Raises:
        AgentError: ``release_invalid``, or ``bad_call`` if the file cannot be read.
    """
    if argument == "-":
        return parse(sys.stdin.buffer.read(LIMIT_BYTES + 1))
    try:
        with Path(argument).open("rb") as file:
            return parse(file.read(LIMIT_BYTES + 1))
    except OSError as unreadable:
        raise AgentError(
            "bad_call", f"--release: {unreadable}.", "Give a readable file, or - for stdin."
        ) from None


def write(ctx: Context, release: Release) -> bool:
    """Write the release's files; return False if all exist, byte for byte.

    Raises:
        AgentError: as ``check_identity``.
    """
    check_identity(ctx.paths, release)
    target = ctx.paths.release_dir(release.id)
    if not differences(ctx.paths, release):
        return False
    if not target.exists():
        age.note_release(ctx, release.id)
    if target.exists():
        # Changed files are replaced one by one: the directory may be the running release's.
        target.chmod(0o755)
        for name in differences(ctx.paths, release):
            mode, content = release.files()[name]
            ctx.files.write(target / name, content, mode)
    else:
        temporary = target.with_name(f"{TEMPORARY_PREFIX}{release.id}")
        ctx.files.remove_tree(temporary)
        for name, (mode, content) in sorted(release.files().items()):
            ctx.files.write(temporary / name, content, mode)
        temporary.chmod(0o755)
        ctx.files.rename(temporary, target)
    target.chmod(0o555)
    return True


def check_identity(paths: Paths, release: Release) -> None:
    """Raise ``release_conflict`` if the id belongs to another document on this device.

    An id holds 48 bits of the hash, for which two documents with the same id can be made in minutes.
    """
    known: list[str | None] = []
    with suppress(AgentError):  # a document that changed on disk is replaced
        known.append(read_document(paths, release.id).sha256)
    with suppress(AgentError):
        known.append(load_journal(paths).sha256_of(release.id))
    for here in known:
        _same(release.id, here, release.sha256)


def differences(paths: Paths, release: Release) -> list[str]:
    """Return the names of the release's files that are missing or changed on disk."""
    directory = paths.release_dir(release.id)
    return [
        name for name, (_, content) in sorted(release.files().items()) if _read(directory / name) != content
    ]


def read_document(paths: Paths, release_id: str, sha256: str | None = None) -> Release:
    """Return a staged release's document, without its other files. ``sha256`` is the journal's hash.

    Raises:
        AgentError: ``bad_call``, ``not_staged``, ``release_invalid`` if it changed on disk, or
            ``release_conflict`` if its hash is not ``sha256``.
    """
    if not ID.fullmatch(release_id):
        remedy = "Name a release that `thorctl status DEVICE` shows."
        raise AgentError("bad_call", f"{release_id!r} is not a release id.", remedy)
    text = _read(paths.release_dir(release_id) / "release.json")
    if text is None:
        remedy = "Stage it: `thorctl stage DEVICE`."
        raise AgentError("not_staged", f"{release_id} is not on this device.", remedy)
    release = parse(text)
    if release.id != release_id:
        raise _drifted(release_id, ["release.json"])
    _same(release_id, release.sha256, sha256)
    return release


def load(paths: Paths, release_id: str, sha256: str | None = None) -> Release:
    """Return a staged release after verifying that all its files are unchanged.

    Raises:
        AgentError: as ``read_document``.
    """
    release = read_document(paths, release_id, sha256)
    changed = differences(paths, release)
    if changed:
        raise _drifted(release_id, changed)
    return release


def _drifted(release_id: str, names: list[str]) -> AgentError:
    return AgentError(
        "release_invalid",
        f"Files of {release_id} differ from those staged: {', '.join(names)}.",
        "Stage it again: `thorctl stage DEVICE`. Only what is changed is written.",
        details={"files": names},
    )


def _same(release_id: str, here: str | None, wanted: str | None) -> None:
    """Raise ``release_conflict`` if the hashes differ; None: unknown, recorded by an earlier agent."""
    if here and wanted and here != wanted:
        raise AgentError(
            "release_conflict",
            f"{release_id} is another document on this device: SHA-256 {here}, not {wanted}.",
            "Find the caller that staged it: `thorctl logs DEVICE --events`. Delete it with `sudo thor-agent "
            "gc --keep 0` on the device, which keeps what a state needs; or give the profile another "
            "name.",
            details={"release": release_id, "sha256": here, "wanted_sha256": wanted},
        )


def restore(ctx: Context, release_id: str, sha256: str | None = None) -> Release:
    """Return a staged release for a rollback; rewrite its changed files from its own document.

    Raises:
        AgentError: ``not_staged`` or ``release_invalid``, if the document itself is missing or broken, or
            ``release_conflict`` if its hash is not ``sha256``.
    """
    release = read_document(ctx.paths, release_id, sha256)
    write(ctx, release)
    return release


def staged_ids(paths: Paths) -> list[str]:
    """Return the ids with a directory, sorted."""
    if not paths.releases.is_dir():
        return []
    return sorted(entry.name for entry in paths.releases.iterdir() if ID.fullmatch(entry.name))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
