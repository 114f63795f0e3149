"""What moved between two locks, told to a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.filesize import decimal

from tests.support.documents import changed, lock_document
from thorctl.release import profile
from thorctl.release.lock import Lock
from thorctl.release.lock_diff import movements

if TYPE_CHECKING:
    from collections.abc import Callable

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def told(change: Callable[[dict[str, Any]], object]) -> list[tuple[str, str, bool]]:
    """Movements from a lock to the same lock after ``change``."""
    of = profile.load(DEPLOY, "tiny-qwable")
    before, after = lock_document(of), lock_document(of)
    change(after)
    files = after["checkpoint"]["files"]
    files.sort(key=lambda file: str(file["path"]))
    after["checkpoint"]["total_bytes"] = sum(file["size"] for file in files)
    found = movements(Lock.model_validate(before), Lock.model_validate(after), decimal)
    return [(one.what, one.sentence, one.upstream) for one in found]


def test_the_same_lock_has_not_moved() -> None:
    assert told(lambda _: None) == []


def test_a_tag_that_moved() -> None:
    image = {"digest": "sha256:" + "e" * 64, "compressed_bytes": 1_300_000_000, "vllm_version": "0.33.0"}
    assert told(lambda after: after["image"].update(image)) == [
        (
            "image",
            (
                "the tag registry.thorctl.test:5000/thorctl/cpu-vllm:0.32.0 has moved: "
                "sha256:aaaaaaaaaaaa… → sha256:eeeeeeeeeeee…, 1.2 GB → 1.3 GB"
            ),
            True,
        ),
        ("image", "its vLLM: unknown → 0.33.0", True),
    ]


def test_digests_that_differ_behind_what_is_shown_are_whole() -> None:
    near = f"sha256:{'a' * 63}b"
    ((_, sentence, _),) = told(lambda after: after["image"].update(digest=near))
    assert f"sha256:{'a' * 64} → {near}, " in sentence


def test_a_branch_that_moved_with_its_files() -> None:
    def change(after: dict[str, Any]) -> None:
        after["checkpoint"]["commit"] = "f" * 40
        after["checkpoint"]["files"] = [
            {"path": "config.json", "size": 2048, "sha256": "1" * 64},
            {"path": "model-00001.safetensors", "size": 4_000_000_000, "sha256": "2" * 64},
        ]

    assert told(change) == [
        ("checkpoint", "main of thorctl/tiny-qwable has moved: bbbbbbbbbbbb… → ffffffffffff…", True),
        ("checkpoint", "5.0 GB → 4.0 GB in all, 4.0 GB of it new", True),
        ("file", "config.json has other content, 3 bytes → 2.0 kB", True),
        ("file", "model-00001.safetensors is new, 4.0 GB", True),
        ("file", "model.safetensors was removed, 5.0 GB", True),
    ]


def test_a_file_that_was_only_renamed_is_nothing_new() -> None:
    def change(after: dict[str, Any]) -> None:
        after["checkpoint"]["files"][1]["path"] = "weights.safetensors"

    assert told(change)[0] == ("checkpoint", "5.0 GB → 5.0 GB in all, 0 bytes of it new", True)


def test_a_commit_that_touched_no_file() -> None:
    (only,) = told(lambda after: after["checkpoint"].update(commit="f" * 40))
    assert only[1].endswith("; no file differs")


@pytest.mark.parametrize(
    ("part", "key", "value", "name"),
    [
        ("image", "reference", "registry.thorctl.test:5000/thorctl/cpu-vllm:0.33.0", "image.reference"),
        ("image", "platform", "linux/arm64", "the image's platform"),
        ("checkpoint", "revision", "v2", "checkpoint.revision"),
        ("checkpoint", "repository", "thorctl/other", "checkpoint.repository"),
        ("checkpoint", "endpoint", "https://huggingface.co", "checkpoint.endpoint"),
    ],
)
def test_what_the_profile_itself_says_otherwise_is_not_blamed_on_upstream(
    part: str, key: str, value: str, name: str
) -> None:
    def change(after: dict[str, Any]) -> None:
        after["image"]["digest"] = "sha256:" + "e" * 64
        after["checkpoint"]["commit"] = "f" * 40
        after[part][key] = value

    found = told(change)
    assert found[0][0] == "profile"
    assert found[0][1].startswith(f"{name} was ")
    blamed = {what for what, _, upstream in found if upstream}
    assert blamed == ({"checkpoint"} if part == "image" else {"image"})


def test_two_locks_of_other_licences() -> None:
    of = changed(profile.load(DEPLOY, "tiny-qwable"), license="AGPL-3.0-only")
    before, after = lock_document(of), lock_document(of)
    after["license"]["hub"] = "agpl-3.0"
    before["license"]["accepted"] = None
    found = movements(Lock.model_validate(before), Lock.model_validate(after), decimal)
    assert [one.sentence for one in found] == [
        "the model card's licence was missing, and is agpl-3.0 now",
        "the accepted licence was none, and is AGPL-3.0-only now",
    ]


def test_figures_of_the_model_are_new_in_a_lock_or_others() -> None:
    of = profile.load(DEPLOY, "tiny-qwable")
    earlier, now, other = lock_document(of), lock_document(of), lock_document(of)
    del earlier["checkpoint"]["model"]
    other["checkpoint"]["model"]["kv_heads"] = 4

    def between(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, bool]]:
        found = movements(Lock.model_validate(before), Lock.model_validate(after), decimal)
        return [(one.sentence, one.upstream) for one in found]

    assert between(earlier, now) == [("the lock had no figures of the model", False)]
    assert between(now, other) == [("config.json has other figures", True)]
