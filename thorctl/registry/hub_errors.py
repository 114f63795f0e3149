"""Errors of a model hub, with their remedies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from thorctl.errors import ThorError
from thorctl.registry import failures
from thorctl.registry.credentials import keeps_secrets

if TYPE_CHECKING:
    from pydantic import ValidationError

    from thorctl.release.profile import Checkpoint


def explain(error: Exception, checkpoint: Checkpoint, endpoint: str) -> ThorError:
    """Return the ThorError for an exception of huggingface_hub."""
    name, revision = checkpoint.repository, checkpoint.revision
    status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response else None
    if isinstance(error, GatedRepoError) or status in {401, 403}:
        return ThorError(
            "hub_denied",
            f"{endpoint} denies access to {name}: it is gated, private or absent.",
            f"Accept its terms at {checkpoint.endpoint}/{name}, then `hf auth login` or set HF_TOKEN."
            + ("" if keeps_secrets(endpoint) else " The token was not sent: the address is not encrypted."),
        )
    if isinstance(error, RevisionNotFoundError):
        return ThorError(
            "revision_not_found",
            f"{name} has no revision {revision!r}.",
            "Correct checkpoint.revision in the profile: a branch, a tag or a commit.",
        )
    if isinstance(error, (RepositoryNotFoundError, EntryNotFoundError)) or status == 404:
        return ThorError(
            "checkpoint_not_found",
            f"{endpoint} has no {name} at revision {revision!r}.",
            "Correct checkpoint.repository and checkpoint.revision; a private one needs `hf auth login`.",
        )
    if isinstance(error, OfflineModeIsEnabled):
        return ThorError(
            "hub_offline",
            f"The hub {endpoint} was not asked: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set.",
            f"Unset it. {failures.UNCHANGED}",
        )
    if status is not None and isinstance(error, HfHubHTTPError):
        reason = str(error.response.reason_phrase)
        return failures.refused("hub", f"{endpoint}, asked for {name},", status, reason)
    return failures.unreached("hub", checkpoint.endpoint, endpoint, error)


def strange(error: Exception, endpoint: str) -> ThorError:
    """Return the error for an answer that does not follow the hub's API."""
    lacks = isinstance(error, KeyError)
    what = f"an answer lacks {error}" if lacks else f"{type(error).__name__}: {str(error)[:200]}"
    return no_hub(endpoint, f"does not answer like a model hub ({what})")


def no_hub(endpoint: str, what: str) -> ThorError:
    """Return the error for a server that is not a model hub, or a mirror that lacks a part of the API."""
    return ThorError(
        "hub_invalid",
        f"{endpoint} {what}.",
        "Check that the address, its path included, is a model hub's, and that no login page precedes it. "
        f"If a mirror lacks this, lock against the original hub. {failures.UNCHANGED}",
    )


def empty(checkpoint: Checkpoint, endpoint: str) -> ThorError:
    """Return the error for a repository without files."""
    return ThorError(
        "checkpoint_not_found",
        f"{endpoint}: {checkpoint.repository} at {checkpoint.revision!r} has no files.",
        "Correct checkpoint.repository and checkpoint.revision.",
    )


def invalid(error: ValidationError, endpoint: str) -> ThorError:
    """Return the error for files that cannot be locked, such as a path outside the checkpoint."""
    first = error.errors(include_url=False)[0]
    return ThorError(
        "hub_invalid",
        f"{endpoint} lists a file that cannot be locked: {first['msg'].removeprefix('Value error, ')}.",
        "Check that the address is a model hub, and the repository's file names.",
    )
