"""Describe the differences of two locks in sentences: changes upstream, and changes in the profile."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.release.lock import CheckpointLock, ImageLock, Lock, LockedFile

What = Literal["profile", "image", "checkpoint", "file", "license"]


@dataclass(frozen=True, slots=True)
class Movement:
    """One difference from the lock. ``upstream``: it was not changed in the project."""

    what: What
    sentence: str
    upstream: bool = True


def movements(before: Lock, after: Lock, size: Callable[[int], str]) -> list[Movement]:
    """Return the differences of two locks; ``size`` formats bytes."""
    return [
        *_profile(before, after),
        *_image(before.image, after.image, size),
        *_checkpoint(before.checkpoint, after.checkpoint, size),
        *_license(before, after),
    ]


def short(text: str) -> str:
    """Return ``text`` with every hash cut to its first 12 digits; --json has them whole."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b", r"\1…", text)


def arrow(old: str, new: str) -> str:
    """Format ``old → new`` with hashes cut, unless they would then be equal."""
    cut = short(old), short(new)
    return " → ".join(cut if cut[0] != cut[1] else (old, new))


def _profile(before: Lock, after: Lock) -> list[Movement]:
    old, new = before.checkpoint, after.checkpoint
    pairs = (
        ("image.reference", before.image.reference, after.image.reference),
        ("the image's platform", before.image.platform, after.image.platform),
        ("checkpoint.repository", old.repository, new.repository),
        ("checkpoint.revision", old.revision, new.revision),
        ("checkpoint.endpoint", old.endpoint, new.endpoint),
    )
    return [
        Movement("profile", f"{key} was {was} when it was locked, and is {now_is} now", upstream=False)
        for key, was, now_is in pairs
        if was != now_is
    ]


def _image(old: ImageLock, new: ImageLock, size: Callable[[int], str]) -> list[Movement]:
    same = (old.reference, old.platform) == (new.reference, new.platform)
    found = []
    if old.digest != new.digest:
        parts = [arrow(old.digest, new.digest)]
        parts.append(f"{size(old.compressed_bytes)} → {size(new.compressed_bytes)}")
        sentence = f"the tag {new.reference} has moved: " if same else f"{new.reference}: "
        found.append(Movement("image", sentence + ", ".join(parts), upstream=same))
    if old.vllm_version != new.vllm_version:
        versions = f"{old.vllm_version or 'unknown'} → {new.vllm_version or 'unknown'}"
        found.append(Movement("image", f"its vLLM: {versions}", upstream=same))
    return found


def _checkpoint(old: CheckpointLock, new: CheckpointLock, size: Callable[[int], str]) -> list[Movement]:
    same = (old.repository, old.revision, old.endpoint) == (new.repository, new.revision, new.endpoint)
    files = _files(old, new, size, upstream=same)
    found = []
    if old.commit != new.commit:
        sentence = f"{new.revision} of {new.repository}"
        sentence += " has moved: " if same else ": "
        sentence += arrow(old.commit, new.commit)
        if not files:
            sentence += "; no file differs"
        found.append(Movement("checkpoint", sentence, upstream=same))
    if old.model != new.model:
        sentence = (
            "the lock had no figures of the model" if old.model is None else "config.json has other figures"
        )
        found.append(Movement("checkpoint", sentence, upstream=same and old.model is not None))
    if files:
        here = {(file.size, file.sha256) for file in old.files}
        fresh = sum(file.size for file in new.files if (file.size, file.sha256) not in here)
        totals = f"{size(old.total_bytes)} → {size(new.total_bytes)} in all, {size(fresh)} of it new"
        found.append(Movement("checkpoint", totals, upstream=same))
    return found + files


def _files(
    old: CheckpointLock, new: CheckpointLock, size: Callable[[int], str], *, upstream: bool
) -> list[Movement]:
    before, after = ({file.path: file for file in lock.files} for lock in (old, new))
    sentences = [
        _file(path, before.get(path), after.get(path), size)
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]
    return [Movement("file", sentence, upstream=upstream) for sentence in sentences]


def _file(path: str, old: LockedFile | None, new: LockedFile | None, size: Callable[[int], str]) -> str:
    match old, new:
        case None, new if new is not None:
            return f"{path} is new, {size(new.size)}"
        case old, None if old is not None:
            return f"{path} was removed, {size(old.size)}"
        case old, new if old is not None and new is not None:
            sizes = "same size" if old.size == new.size else f"{size(old.size)} → {size(new.size)}"
            return f"{path} has other content, {sizes}"
    raise AssertionError(path)


def _license(before: Lock, after: Lock) -> list[Movement]:
    old, new = before.license, after.license
    found = []
    if old.hub != new.hub:
        sentence = f"the model card's licence was {old.hub or 'missing'}, and is {new.hub or 'missing'} now"
        found.append(Movement("license", sentence))
    if old.accepted != new.accepted:
        sentence = f"the accepted licence was {old.accepted or 'none'}, and is {new.accepted or 'none'} now"
        found.append(Movement("license", sentence, upstream=False))
    return found
