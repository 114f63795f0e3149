"""The hub's files, by the unmodified ``hf download`` inside the engine's image; resumed where it stopped."""

from __future__ import annotations

import re
import stat
import subprocess
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from thorctl.agent import account, hub_parts, hub_token
from thorctl.agent.account import ROOT, Account
from thorctl.agent.files import read_json
from thorctl.agent.outcome import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from thorctl.agent.context import Context
    from thorctl.agent.release_document import CheckpointFile, Release

FRUITLESS_TRIES = 2  # in a row, without one new byte; hf itself insists for 23 s in each
FIRST_PAUSE_SECONDS = 2.0
POLL_SECONDS = 0.5
TAIL_BYTES = 4000
_NO_SPACE = re.compile(r"No space left on device|Errno 28", re.IGNORECASE)
_ABSENT = re.compile(r"404 Client Error|^Error: (?!Local ).* not found", re.MULTILINE)
_DENIED = re.compile(r"\b40[13] Client Error|GatedRepoError|Access denied|Invalid user token", re.IGNORECASE)
_DOCKER_FAILED, _NO_HF = 125, (126, 127)  # exit codes of `docker run` itself


def download(ctx: Context, release: Release, partial: Path, files: Sequence[CheckpointFile]) -> int:
    """Fetch ``files`` into ``partial``; returns the new bytes. What a hub serves is checked by the caller.

    Raises:
        AgentError: ``download_interrupted`` (what came stays for the next stage), ``file_missing`` (the
            hub has no such repository, commit or file), ``disk_too_small``, ``docker_unavailable``,
            ``bad_state``.
    """
    partial.mkdir(parents=True, exist_ok=True)
    begun_with = bytes_in(partial)
    fruitless, pause = 0, FIRST_PAUSE_SECONDS
    while True:
        before = bytes_in(partial)
        rc, tail = _once(ctx, release, partial, _begun(ctx, release, partial, files))
        if rc == 0:
            return max(0, bytes_in(partial) - begun_with)
        _give_up_if_hopeless(release, rc, tail)
        fruitless = 0 if bytes_in(partial) > before else fruitless + 1
        if fruitless == FRUITLESS_TRIES:
            raise _interrupted(release, partial, rc, tail)
        ctx.log.warning("the download stopped (exit %d), trying again in %g s", rc, pause)
        ctx.clock.sleep(pause)
        pause = min(pause * 2, 30.0)


def _begun(
    ctx: Context, release: Release, partial: Path, files: Sequence[CheckpointFile]
) -> list[CheckpointFile]:
    """Finish what was begun; the files that are then still to be fetched."""
    _remove_container(ctx, release)  # what a killed stage left running writes no more
    account.drop_links(partial)
    hub_parts.keep(partial, files)
    endpoint = _endpoint(ctx, release)
    return [
        file
        for file in files
        if not (partial / file.path).exists() and not hub_parts.finish(ctx, release, partial, file, endpoint)
    ]


def arguments(
    release: Release,
    partial: Path,
    files: Sequence[CheckpointFile],
    endpoint: str,
    *,
    token: Sequence[str] = (),
    user: Account = ROOT,
) -> list[str]:
    """The ``docker run`` that downloads; every part of it was checked when the release was read.

    ``token``: the options that show ``hf`` the hub's token, of ``hub_token.shown``.
    """
    checkpoint = release.document["lock"]["checkpoint"]
    environment = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": "/tmp/hf",  # noqa: S108 - inside the container, which is removed
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": "0",  # engine images say 1, rightly: nothing is fetched when they serve
        "NO_COLOR": "1",
    }
    options = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
    return [
        *("docker", "run", "--rm", "--name", container_name(release), "--pull", "never"),
        *("--user", f"{user.uid}:{user.gid}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--network", "host", "--mount", f"type=bind,src={partial},dst=/out", *options, *token),
        *("--entrypoint", "hf", release.image),
        *("download", checkpoint["repository"], "--revision", checkpoint["commit"], "--local-dir", "/out"),
        *(file.path for file in files),
    ]


def container_name(release: Release) -> str:
    """One name per checkpoint commit: what a killed stage left running is found and removed by it."""
    return f"thor-stage-{release.document['lock']['checkpoint']['commit'][:12]}"


def bytes_in(directory: Path) -> int:
    """Bytes on disk below a directory, unfinished downloads included; sparse files count what they occupy."""
    sizes: dict[int, int] = {}  # by inode: an unfinished file has two names
    for path in directory.rglob("*"):
        try:
            status = path.lstat()
        except FileNotFoundError:  # hf renames its temporary files as it goes
            continue
        if stat.S_ISREG(status.st_mode):
            sizes[status.st_ino] = min(status.st_size, status.st_blocks * 512)
    return sum(sizes.values())


def _once(ctx: Context, release: Release, partial: Path, files: Sequence[CheckpointFile]) -> tuple[int, str]:
    lock = release.document["lock"]["checkpoint"]
    endpoint, user = _endpoint(ctx, release), account.find(ctx)
    if not files:
        with _lent(user, partial):  # a killed stage may have left it the account's
            return 0, ""
    with (
        tempfile.TemporaryFile() as output,
        _lent(user, partial),
        hub_token.shown(ctx, endpoint, user) as token,
    ):
        argv = arguments(release, partial, files, endpoint, token=token, user=user)
        try:
            process = ctx.runner.spawn(argv, output=output)
        except OSError as missing:
            raise AgentError(
                "docker_unavailable", f"docker could not be started: {missing}", "Install the Docker client."
            ) from missing
        try:
            while True:
                try:
                    rc = process.wait(timeout=POLL_SECONDS)
                    return rc, _tail(output)
                except subprocess.TimeoutExpired:
                    hub_parts.keep(partial, files)
                    done = min(bytes_in(partial), lock["total_bytes"])
                    ctx.progress.update(
                        "checkpoint", release=release.id, done_bytes=done, total_bytes=lock["total_bytes"]
                    )
        finally:
            if process.poll() is None:
                process.terminate()
                _remove_container(ctx, release)
                process.wait()


@contextmanager
def _lent(user: Account, partial: Path) -> Iterator[None]:
    """The directory is the account's for as long as it downloads; what is checked and served is root's."""
    if user == ROOT:
        yield
        return
    account.own(user, partial)
    try:
        yield
    finally:
        account.own(ROOT, partial)
        account.drop_links(partial)


def _endpoint(ctx: Context, release: Release) -> str:
    """The site's hub if the device has one, else the lock's."""
    try:
        device: Any = read_json(ctx.paths.device_json) or {}
        return str(device.get("hub_endpoint") or release.document["lock"]["checkpoint"]["endpoint"])
    except (ValueError, AttributeError) as broken:
        raise AgentError(
            "bad_state", f"{ctx.paths.device_json} is not a JSON object: {broken}", "Run site.yml again."
        ) from broken


def _remove_container(ctx: Context, release: Release) -> None:
    ctx.docker.delete(f"/containers/{container_name(release)}", {"force": "true"})


def _tail(output: IO[bytes]) -> str:
    output.seek(max(0, output.seek(0, 2) - TAIL_BYTES))
    return output.read().decode(errors="replace").strip()


def _give_up_if_hopeless(release: Release, rc: int, tail: str) -> None:
    lines = tail.splitlines() or [f"exit {rc}"]
    last = next((line for line in reversed(lines) if line.startswith("Error")), lines[-1])  # hints come after
    details = {"exit": rc, "output": tail}
    if _NO_SPACE.search(tail):  # also of Docker itself, which could then not even start the container
        remedy = "Free space (`thor-agent gc`), then stage again; what came is kept."
        raise AgentError("disk_too_small", "The disk filled up during the download.", remedy, details=details)
    if rc == _DOCKER_FAILED:
        remedy = "Look at `journalctl -u docker` on the device."
        message = f"Docker could not run the download: {last}"
        raise AgentError("docker_unavailable", message, remedy, details=details)
    if rc in _NO_HF:
        remedy = "Build the engine's image with huggingface_hub's `hf` in it."
        message = f"The image cannot download: {last}"
        raise AgentError("bad_state", message, remedy, details=details)
    if _DENIED.search(tail):
        raise AgentError(
            "hub_denied",
            f"The hub does not let this device read {release.checkpoint_name}: {last}",
            "Give the device a token that may (thor_hub_token, docs/secrets.md), run site.yml, stage again.",
            details=details,
        )
    if _ABSENT.search(tail):
        raise AgentError(
            "file_missing",
            f"The hub has not all of {release.checkpoint_name}: {last}",
            "Check repository, commit and endpoint of the lock; `thorctl lock` renews it.",
            details=details,
        )


def _interrupted(release: Release, partial: Path, rc: int, tail: str) -> AgentError:
    total = release.document["lock"]["checkpoint"]["total_bytes"]
    done = min(bytes_in(partial), total)
    return AgentError(
        "download_interrupted",
        f"The download of {release.checkpoint_name} stopped; {done} of {total} bytes are here.",
        "Stage again: it goes on where it stopped.",
        details={"done_bytes": done, "total_bytes": total, "exit": rc, "output": tail},
        changed=done > 0,
    )
