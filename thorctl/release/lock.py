"""Locks: the exact bytes of a profile, as ``thorctl lock`` writes them to ``deploy/locks``."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from thorctl import shipped
from thorctl.errors import ThorError
from thorctl.files import schema
from thorctl.files.limits import read_text
from thorctl.protocol import canonical_json
from thorctl.release import licenses
from thorctl.release.image_reference import ImageReference, same_image
from thorctl.release.model_config import ModelFigures, UnknownModel
from thorctl.release.profile import Endpoint, Repository, Revision

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from thorctl.release.profile import Profile

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
ImageRepository = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:/_-]*$", max_length=255)]


class ImageLock(schema.Model):
    """The image, by the digest of one platform's manifest."""

    reference: str = Field(description="The profile's, normalized as in Docker.")
    repository: ImageRepository = Field(description="host[:port]/path; the engine runs `repository@digest`.")
    digest: Digest
    platform: Literal["linux/amd64", "linux/arm64"]
    compressed_bytes: int = Field(gt=0, description="Layers and configuration, as transferred.")
    vllm_version: str | None = Field(
        default=None, description="From the image's configuration; null if it has none."
    )

    @property
    def local_tag(self) -> str:
        """The device's tag of the image; the device sets it and verifies the digest behind it."""
        return f"{self.repository}:thor-{self.digest.removeprefix('sha256:')[:12]}"

    @field_validator("repository")
    @classmethod
    def _has_no_tag(cls, value: str) -> str:
        if ":" in value.rpartition("/")[2]:
            raise ValueError(f"{value!r} has a tag")
        return value


class LockedFile(schema.Model):
    """One file of the checkpoint."""

    path: str = Field(min_length=1, description="Relative to the checkpoint, with forward slashes.")
    size: int = Field(ge=0)
    sha256: Sha256

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        # The device joins this path to a directory as root.
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or str(path) != value or not value.isprintable():
            raise ValueError(f"{value!r} is not a plain relative path")
        return value


class CheckpointLock(schema.Model):
    """The checkpoint, by commit and by every file."""

    repository: Repository
    revision: Revision = Field(description="As in the profile.")
    endpoint: Endpoint
    commit: Commit
    files: tuple[LockedFile, ...] = Field(min_length=1, description="Sorted by path.")
    total_bytes: int
    model: ModelFigures | UnknownModel | None = Field(
        default=None, description="From config.json; absent in locks of earlier versions."
    )

    @model_serializer(mode="wrap")
    def _without_absent_model(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A release built from an earlier lock keeps its id.
        document: dict[str, Any] = serialize(self)
        if self.model is None:
            document.pop("model", None)
        return document

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        paths = [file.path for file in self.files]
        if paths != sorted(set(paths)):
            raise ValueError("files are not sorted by path, or one is listed twice")
        if self.total_bytes != sum(file.size for file in self.files):
            raise ValueError("total_bytes is not the sum of the files' sizes")
        return self

    @property
    def directory(self) -> str:
        """The name of its directory on a device: ``owner--name@commit``."""
        return f"{self.repository.replace('/', '--')}@{self.commit}"

    @property
    def weights_bytes(self) -> int:
        """The size of its safetensors files."""
        return sum(file.size for file in self.files if file.path.endswith(".safetensors"))


class LicenseLock(schema.Model):
    """The checkpoint's licence. Its acceptance is stored here: reviewed, and in git with author and date."""

    hub: str | None = Field(
        default=None, description="From the model card of that commit; null if it has none."
    )
    accepted: str | None = Field(
        default=None,
        description="The licence accepted with `--accept-license`; null if none is required.",
    )


class Lock(schema.Model):
    """The exact bytes of one profile. Deterministic, so it has no time stamps."""

    schema_: Literal[1] = Field(alias="schema")
    profile: schema.Name
    image: ImageLock
    checkpoint: CheckpointLock
    license: LicenseLock = Field(default_factory=LicenseLock)

    def text(self) -> str:
        """Return the file's content: indented by two, keys in the model's order, its own hash, a newline.

        The hash is the file's, not the model's: it is not part of a release.
        """
        document = self.model_dump(mode="json")
        return json.dumps({**document, HASH: _hash(document)}, indent=2, ensure_ascii=False) + "\n"


HASH = "sha256"  # key of a lock file: the hash of its other keys


def _hash(document: dict[str, Any]) -> str:
    return canonical_json.sha256(document, errors="surrogatepass")  # an edited file may hold lone surrogates


def path_of(deploy: Path, name: str) -> Path:
    """Return where ``thorctl lock`` writes the lock of profile ``name``: in the project."""
    return deploy / "locks" / f"{name}.lock.json"


def _read_from(deploy: Path, name: str) -> Path:
    """Return the effective lock: the project's; for a shipped profile without one, the shipped lock."""
    own = path_of(deploy, name)
    if own.exists() or name in shipped.own_names(deploy, "profiles"):
        return own
    return shipped.find(deploy, "locks", own.name)


def load(deploy: Path, name: str) -> Lock:
    """Read the lock of profile ``name`` and verify its own hash.

    A lock of an earlier version has no hash.

    Raises:
        ThorError: ``lock_missing``, ``lock_unreadable``, ``lock_edited`` or ``lock_invalid``; each names the
            command that writes it.
    """
    path = _read_from(deploy, name)
    anew = f"Write it again: `thorctl lock {name}`. Locks are not edited by hand."
    try:
        document = json.loads(read_text(path))
    except FileNotFoundError:
        raise ThorError(
            "lock_missing",
            f"Profile {name!r} has no lock: {path} does not exist.",
            f"Write it once, where registry and hub are reachable: `thorctl lock {name}`.",
        ) from None
    except OSError as error:
        raise ThorError(
            "lock_unreadable",
            f"{path}: {error.strerror or error}.",
            f"Make the file readable for you, or delete it and write it again: `thorctl lock {name}`.",
        ) from error
    except (ValueError, RecursionError) as error:  # a merge's conflict markers, or not UTF-8
        raise ThorError("lock_invalid", f"{path} is not JSON: {error}.", anew) from error
    if not isinstance(document, dict):
        raise ThorError("lock_invalid", f"{path} is not a JSON object.", anew)
    recorded = document.pop(HASH, None)
    if recorded is not None and recorded != (found := _hash(document)):
        raise ThorError(
            "lock_edited",
            f"{path} was edited after it was written: its SHA-256 is {found[:12]}…, recorded is "
            f"{str(recorded)[:12]}….",
            f"Undo the edit (`git diff {path}` shows it), or write it again: `thorctl lock {name}`.",
        )
    try:
        return Lock.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ThorError(
            "lock_invalid", f"{path}: {where or 'the document'}: {first['msg']}.", anew
        ) from error


def mismatches(profile: Profile, lock: Lock) -> list[tuple[str, str, str]]:
    """Return the differences of profile and lock: (key, in the profile, in the lock)."""
    reference, image = profile.image.reference, lock.image
    repository = ImageReference.parse(reference).repository
    locked = lock.checkpoint.model_dump(exclude={"files"})
    rows: list[tuple[str, str, str, bool]] = [
        ("name", profile.name, lock.profile, profile.name == lock.profile),
        ("image.reference", reference, image.reference, same_image(reference, image.reference)),
        ("image.repository", repository, image.repository, same_image(repository, image.repository)),
    ]
    rows += [
        (f"checkpoint.{key}", value, locked[key], value == locked[key])
        for key, value in profile.checkpoint.model_dump().items()
    ]
    return [(key, wanted, found) for key, wanted, found, same in rows if not same]


def require_match(profile: Profile, lock: Lock) -> None:
    """Reject a lock of another profile.

    Raises:
        ThorError: ``lock_mismatch``, naming each key with both values.
    """
    wrong = mismatches(profile, lock)
    if wrong:
        raise ThorError(
            "lock_mismatch",
            f"The lock does not match profile {profile.name!r}: "
            + "; ".join(
                f"{key} is {wanted} in the profile but {found} in the lock" for key, wanted, found in wrong
            )
            + ".",
            f"Lock the profile as it is now: `thorctl lock {profile.name}`; or undo the profile's change.",
        )


def require_license(profile: Profile, lock: Lock) -> None:
    """Reject a lock whose licence is not the profile's, or has not been accepted.

    Raises:
        ThorError: ``license_mismatch``, ``license_not_accepted``.
    """
    licenses.require_agreement(profile.name, profile.license, lock.license.hub)
    licenses.require_acceptance(profile.name, profile.license, lock.license.accepted)


def changes(before: Lock | None, after: Lock) -> list[tuple[str, str | None, str | None]]:
    """Return the differences of two locks: (key, before, after), files by path; [] if there are none."""
    old, new = (flat(before) if before else {}), flat(after)
    return [(key, old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def flat(lock: Lock) -> dict[str, str]:
    """Return a lock as key -> value without null values; a file's value is its size and hash."""
    document: dict[str, Any] = lock.model_dump(mode="json", exclude_none=True)
    rows = {f"image.{key}": str(value) for key, value in document["image"].items()}
    rows |= {
        f"checkpoint.{key}": str(value) for key, value in document["checkpoint"].items() if key != "files"
    }
    rows |= {f"license.{key}": str(value) for key, value in document["license"].items()}
    rows |= {
        f"file {file.path}": f"{file.size} bytes, sha256 {file.sha256}" for file in lock.checkpoint.files
    }
    return rows
