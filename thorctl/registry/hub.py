"""Resolve a checkpoint's revision to a commit and the size and SHA-256 of every file (huggingface_hub)."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from huggingface_hub import HfApi, close_session, constants, get_session, get_token, hf_hub_url

# HTTPError is that of the HTTP client, which differs between versions of huggingface_hub.
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.repocard import metadata_load
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]
from huggingface_hub.utils.tqdm import disable_progress_bars
from pydantic import ValidationError
from yaml import YAMLError  # huggingface_hub's

from thorctl.errors import ThorError
from thorctl.files import limits
from thorctl.registry import environment, hub_errors
from thorctl.registry.credentials import keeps_secrets
from thorctl.release import licenses, model_config
from thorctl.release.lock import CheckpointLock, LockedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from huggingface_hub.hf_api import ModelInfo

    from thorctl.release.profile import Checkpoint

TIMEOUT_SECONDS = 30
CARD = "README.md"
_COMMIT = re.compile(r"[0-9a-f]{40}")
MAX_FILES = 20_000  # entries of a repository, folders included
# Of one answer: a page of a list, or a small file (one in git; tokenizer.json has some 20 MB).
LIMIT = limits.Limit(64 << 20, seconds=600, kind="hub")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A checkpoint's files, and its licence on the hub; None if the hub has none."""

    checkpoint: CheckpointLock
    license: str | None


def address_of(checkpoint: Checkpoint, via: Mapping[str, str]) -> str | None:
    """Return this machine's address of the endpoint, from ``--via``; None: unchanged."""
    endpoint = urlsplit(checkpoint.endpoint)
    address = via.get(endpoint.netloc)
    return f"{address}{endpoint.path}" if address else None


def token_for(endpoint: str, warn: Callable[[str], None] = lambda _: None) -> str | Literal[False]:
    """Return the operator's token, for encrypted endpoints only; False: none is sent.

    An unreadable token gives a warning: most checkpoints need none.
    """
    if not keeps_secrets(endpoint) or constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        return False
    try:
        token = get_token() or ""
    except (OSError, ValueError, HTTPError) as error:
        reason = str(error)
    else:
        if token.isascii() and token.isprintable():
            return token or False
        reason = "it has characters that are invalid in a token"
    warn(
        f"The token of the hub cannot be used: {reason}. Continuing without one. Correct "
        f"{'HF_TOKEN' if os.environ.get('HF_TOKEN') else constants.HF_TOKEN_PATH}, or `hf auth login` again."
    )
    return False


def resolve(
    checkpoint: Checkpoint,
    address: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Resolved:
    """Return the present state of ``checkpoint``.

    Hashes of large files are the hub's own (LFS); small ones, for which it has git's only, are downloaded and
    hashed, and must match git's.

    Args:
        checkpoint: repository, revision and endpoint, as in the profile.
        address: this machine's address of the endpoint, if different.
        progress: called with each step.
        warn: called with a warning about an unreadable token.

    Raises:
        ThorError: ``environment_invalid``, ``checkpoint_not_found``, ``revision_not_found``, ``hub_*``,
            ``model_config_invalid``.
    """
    endpoint = address or checkpoint.endpoint
    environment.require()
    token = token_for(endpoint, warn)
    api = HfApi(endpoint=endpoint, token=token)
    disable_progress_bars()
    with session(checkpoint, endpoint), TemporaryDirectory(prefix="thorctl-lock-") as folder:
        info = api.model_info(checkpoint.repository, revision=checkpoint.revision, timeout=TIMEOUT_SECONDS)
        commit = commit_of(info, endpoint)
        headers = build_hf_headers(token=token)
        files: list[LockedFile] = []
        for entry in sorted(listed(api, checkpoint, commit, endpoint), key=lambda entry: entry.path):
            progress(entry.path)
            if entry.lfs is not None:
                files.append(LockedFile(path=entry.path, size=entry.lfs.size, sha256=entry.lfs.sha256))
                continue
            # Not with hf_hub_download, which needs headers that a mirror may lack. Git's hash is verified
            # here.
            url = hf_hub_url(checkpoint.repository, entry.path, revision=commit, endpoint=endpoint)
            answer = get_session().get(url, headers=headers, follow_redirects=True, timeout=TIMEOUT_SECONDS)
            hf_raise_for_status(answer)
            files.append(hashed(entry, answer.content, checkpoint.repository))
            if entry.path in {CARD, model_config.CONFIG}:
                (Path(folder) / entry.path).write_bytes(answer.content)
        license_ = license_of(info, Path(folder) / CARD)
        model = model_config.read(Path(folder) / model_config.CONFIG)
    if not files:
        raise hub_errors.empty(checkpoint, endpoint)
    locked = CheckpointLock.model_validate(
        {
            **checkpoint.model_dump(),
            "commit": commit,
            "files": files,
            "total_bytes": sum(file.size for file in files),
            "model": model,
        }
    )
    return Resolved(locked, license_)


@contextmanager
def session(checkpoint: Checkpoint, endpoint: str) -> Iterator[None]:
    """Limit what huggingface_hub reads, and convert all its exceptions to ThorError."""
    http = sys.modules[HTTPError.__module__.partition(".")[0]]
    watch = limits.watch(get_session(), http, LIMIT)
    try:
        yield
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise watch.late or hub_errors.explain(error, checkpoint, endpoint) from error
    except OSError as error:
        if error.filename is not None:  # a file of this machine
            raise
        raise watch.late or hub_errors.explain(error, checkpoint, endpoint) from error
    except ValidationError as error:
        raise hub_errors.invalid(error, endpoint) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise hub_errors.strange(error, endpoint) from error  # a login page, or JSON of another shape
    finally:
        close_session()


def commit_of(info: ModelInfo, endpoint: str) -> str:
    """Return the commit of a revision.

    Raises:
        ThorError: ``hub_invalid``.
    """
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit):
        raise hub_errors.no_hub(endpoint, f"has no commit for {info.id} (sha is {info.sha!r:.60})")
    return commit


def listed(api: HfApi, checkpoint: Checkpoint, commit: str, endpoint: str) -> list[RepoFile]:
    """Return all files of a commit.

    Raises:
        ThorError: ``hub_invalid`` for more than ``MAX_FILES``.
    """
    entries = api.list_repo_tree(checkpoint.repository, revision=commit, recursive=True)
    try:
        found = list(islice(entries, MAX_FILES + 1))
    except HfHubHTTPError as error:
        if error.response.status_code != 404:
            raise
        what = f"has the commit {commit} of {checkpoint.repository}, but does not list its files"
        raise hub_errors.no_hub(endpoint, what) from error
    if len(found) > MAX_FILES:
        raise ThorError(
            "hub_invalid",
            f"{endpoint} lists more files than {MAX_FILES} for {checkpoint.repository}.",
            "Check the repository; a checkpoint has some dozens of files.",
        )
    return [entry for entry in found if isinstance(entry, RepoFile)]


def license_of(info: ModelInfo, card: Path) -> str | None:
    """Return the licence in the model card's metadata: as the hub reads it, or as read here from a mirror."""
    if info.card_data is not None:
        return licenses.of_card(vars(info.card_data))
    try:
        return licenses.of_card(metadata_load(card))
    except (OSError, ValueError, YAMLError):  # no readable card
        return None


def hashed(entry: RepoFile, content: bytes, repository: str) -> LockedFile:
    """Return size and SHA-256 of a downloaded file, after comparing it with git's hash in ``entry``."""
    # Not a security measure but git's object id (git-hash-object(1)).
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if blob != entry.blob_id or len(content) != entry.size:
        raise ThorError(
            "hub_invalid",
            f"{repository}: {entry.path} has the size {len(content)} and the git object {blob}; "
            f"the hub lists {entry.size} and {entry.blob_id}.",
            "Lock against the original hub, or repair the mirror: it or a proxy changed the file.",
        )
    return LockedFile(path=entry.path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
