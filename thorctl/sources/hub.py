"""Checkpoints: from a branch to a commit and the size and SHA-256 of every file, through huggingface_hub."""

from __future__ import annotations

import hashlib
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from huggingface_hub import HfApi, close_session, get_session, hf_hub_download

# HTTPError is that of the HTTP client, which differs between versions of huggingface_hub.
from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.repocard import metadata_load
from huggingface_hub.utils.tqdm import disable_progress_bars
from pydantic import ValidationError
from yaml import YAMLError  # huggingface_hub's

from thorctl import licenses, limited, model_config
from thorctl.errors import ThorError
from thorctl.lock import CheckpointLock, LockedFile
from thorctl.sources import hub_errors
from thorctl.sources.wire import keeps_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from huggingface_hub.hf_api import ModelInfo

    from thorctl.profile import Checkpoint

TIMEOUT_SECONDS = 30
CARD = "README.md"
MAX_FILES = 20_000  # entries of a repository, folders among them
# Of one answer: a page of a list, or a small file (git's own; tokenizer.json has some 20 MB).
LIMIT = limited.Limit(64 << 20, seconds=600, kind="hub")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A checkpoint's bytes, and its licence as the hub has it; None where the hub has none."""

    checkpoint: CheckpointLock
    license: str | None


def resolve(
    checkpoint: Checkpoint, address: str | None = None, progress: Callable[[str], None] = lambda _: None
) -> Resolved:
    """What ``checkpoint`` is right now.

    Large files' hashes are the hub's own (LFS); small ones, for which it only has git's, are downloaded and
    hashed, and must match git's.

    Args:
        checkpoint: repository, revision and endpoint, as in the profile.
        address: where this machine reaches the endpoint, if elsewhere.
        progress: told what is being done.

    Raises:
        ThorError: ``hub_unreachable``, ``checkpoint_not_found``, ``revision_not_found``, ``hub_denied``,
            ``hub_invalid``, ``hub_failed``, ``model_config_invalid``.
    """
    endpoint = address or checkpoint.endpoint
    # A token is the person's own: it goes to encrypted endpoints only. None = HF_TOKEN or `hf auth login`.
    token = None if keeps_secrets(endpoint) else False
    api = HfApi(endpoint=endpoint, token=token)
    disable_progress_bars()
    with session(checkpoint, endpoint):
        info = api.model_info(checkpoint.repository, revision=checkpoint.revision, timeout=TIMEOUT_SECONDS)
        commit = str(info.sha)
        found = sorted(listed(api, checkpoint, commit, endpoint), key=lambda entry: entry.path)
        with TemporaryDirectory(prefix="thorctl-lock-") as folder:
            files: list[LockedFile] = []
            for entry in found:
                progress(entry.path)
                if entry.lfs is not None:
                    files.append(LockedFile(path=entry.path, size=entry.lfs.size, sha256=entry.lfs.sha256))
                    continue
                path = hf_hub_download(
                    checkpoint.repository,
                    entry.path,
                    revision=commit,
                    local_dir=folder,
                    endpoint=endpoint,
                    token=token,
                )
                files.append(hashed(entry, Path(path), checkpoint.repository))
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
    """Limits on what huggingface_hub reads, and a ThorError for whatever it raises."""
    http = sys.modules[HTTPError.__module__.partition(".")[0]]
    watch = limited.watch(get_session(), http, LIMIT)
    try:
        yield
    except (HTTPError, OfflineModeIsEnabled, OSError) as error:
        raise watch.late or hub_errors.explain(error, checkpoint, endpoint) from error
    except ValidationError as error:
        raise hub_errors.invalid(error, endpoint) from error
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:  # a login page, or JSON of another shape
        raise hub_errors.strange(error, endpoint) from error
    finally:
        close_session()


def listed(api: HfApi, checkpoint: Checkpoint, commit: str, endpoint: str) -> list[RepoFile]:
    """Every file of a commit.

    Raises:
        ThorError: ``hub_invalid`` for more than ``MAX_FILES``.
    """
    entries = api.list_repo_tree(checkpoint.repository, revision=commit, recursive=True)
    found = list(islice(entries, MAX_FILES + 1))
    if len(found) > MAX_FILES:
        raise ThorError(
            "hub_invalid",
            f"{endpoint} lists more than {MAX_FILES} files for {checkpoint.repository}.",
            "Check the repository; a checkpoint has some dozens of files.",
        )
    return [entry for entry in found if isinstance(entry, RepoFile)]


def license_of(info: ModelInfo, card: Path) -> str | None:
    """The licence in the model card's metadata: the hub's reading of it, or ours where a mirror has none."""
    if info.card_data is not None:
        return licenses.of_card(vars(info.card_data))
    try:
        return licenses.of_card(metadata_load(card))
    except (OSError, ValueError, YAMLError):  # no card, or one that nobody can read: it says nothing
        return None


def hashed(entry: RepoFile, path: Path, repository: str) -> LockedFile:
    """Size and SHA-256 of a downloaded file, once it is what git has under ``entry``."""
    content = path.read_bytes()
    # Not a security measure but git's name for the bytes (git-hash-object(1)).
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if blob != entry.blob_id or len(content) != entry.size:
        raise ThorError(
            "hub_invalid",
            f"{repository}: {entry.path} came as {len(content)} bytes, git object {blob}; "
            f"the hub lists {entry.size} bytes, {entry.blob_id}.",
            "The mirror or a proxy changed the file; lock against the original hub, or mend the mirror.",
        )
    return LockedFile(path=entry.path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
