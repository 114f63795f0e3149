"""A profile's lock and release to test with, made from the files in deploy/."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorctl.release import device_class, licenses, profile
from thorctl.release.lock import Lock, LockedFile
from thorctl.release.model_config import Gdn, ModelFigures
from thorctl.release.render import render_release

if TYPE_CHECKING:
    from thorctl.release.document import Release
    from thorctl.release.profile import Profile

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = (
    LockedFile(path="config.json", size=3, sha256="c" * 64),
    LockedFile(path="model.safetensors", size=5_000_000_000, sha256="d" * 64),
)

# The full-size model of the shipped profiles.
QWABLE = ModelFigures(
    model_type="qwen3_5_moe_text",
    dtype="bfloat16",
    attention_layers=10,
    kv_heads=2,
    head_dim=256,
    hidden_size=2048,
    context_tokens=262144,
    mtp_layers=1,
    gdn=Gdn(
        layers=30,
        key_heads=16,
        value_heads=32,
        key_head_dim=128,
        value_head_dim=128,
        conv_kernel=4,
        state_dtype="float32",
    ),
)


def lock_document(of: Profile, platform: str = "linux/amd64") -> dict[str, Any]:
    """A lock that matches ``of``, as JSON data."""
    return {
        "schema": 1,
        "profile": of.name,
        "image": {
            "reference": of.image.reference,
            "repository": of.image.reference.rpartition(":")[0],
            "digest": "sha256:" + "a" * 64,
            "platform": platform,
            "compressed_bytes": 1_200_000_000,
        },
        "checkpoint": {
            **of.checkpoint.model_dump(),
            "commit": "b" * 40,
            "files": [file.model_dump() for file in FILES],
            "total_bytes": sum(file.size for file in FILES),
            "model": QWABLE.model_dump(mode="json"),
        },
        "license": {
            "hub": None,
            "accepted": of.license if licenses.must_be_accepted(of.license) else None,
        },
    }


def lock_for(of: Profile, platform: str = "linux/amd64") -> Lock:
    return Lock.model_validate(lock_document(of, platform))


def changed(of: Profile, **keys: Any) -> Profile:
    """The profile with other values, validated again."""
    return type(of).model_validate({**of.model_dump(mode="json"), **keys})


def release_of(deploy: Path, name: str = "tiny-qwable", class_name: str = "simulated-container") -> Release:
    made_for = device_class.load(deploy, class_name)
    of = profile.load(deploy, name)
    return render_release(of, lock_for(of, made_for.platforms[0]), made_for, deploy / "templates")


def copy_of_deploy(project: Path) -> Path:
    """Copy the shipped deploy/, without locks, into a project; its folder there."""
    return Path(shutil.copytree(DEPLOY, project / "deploy", ignore=shutil.ignore_patterns("locks")))
