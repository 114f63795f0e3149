"""Parse a release document; reject it unless it is complete, safe and matches its id."""

from __future__ import annotations

import json
import re
from typing import Any

from thorctl.agent.core.outcome import AgentError
from thorctl.protocol import canonical_json
from thorctl.protocol.dataclass import dataclass

PLACEHOLDER = "@RELEASE_ID@"
UNIT_FILE = "thor-engine.service"
# The schema of a document determines the layout of its engine.
TCP_LAYOUT = 1  # on the host's network at 127.0.0.1, uid 0, one cache directory for all releases
SOCKET_LAYOUT = 2  # no network, a Unix socket, a cache directory of its own
USERS = ("own", "root")
LAYOUTS = (TCP_LAYOUT, SOCKET_LAYOUT)  # that this agent stages, runs, recovers and rolls back to
ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,100}-[0-9a-f]{12}")
LIMIT_BYTES = 4 * 1024 * 1024  # a release of 500 checkpoint files has 150 KB


@dataclass(frozen=True)
class CheckpointFile:
    """One file of the lock. ``path`` is relative to the checkpoint's directory, ``size`` in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """A validated release document, with the values that the device needs."""

    document: dict[str, Any]

    @property
    def id(self) -> str:
        """``<profile>-<12 hex>``."""
        return str(self.document["id"])

    @property
    def sha256(self) -> str:
        """The SHA-256 of its content, by which releases are compared; the id holds 48 bits of it."""
        return canonical_json.release_sha256(self.document)

    @property
    def layout(self) -> int:
        """``TCP_LAYOUT`` or ``SOCKET_LAYOUT``."""
        return int(self.document["schema"])

    @property
    def image_user(self) -> str:
        """The engine's user: ``own`` (the account thor-engine) or ``root``."""
        return str(self.document["profile"]["image"].get("user", USERS[0]))

    @property
    def entrypoint(self) -> list[str]:
        """The program of the engine's container; [] for the image's own."""
        return [str(word) for word in self.document["profile"]["image"].get("entrypoint") or []]

    @property
    def image(self) -> str:
        """``repository@sha256:…``."""
        image = self.document["lock"]["image"]
        return f"{image['repository']}@{image['digest']}"

    @property
    def image_tag(self) -> str:
        """The device's tag of the image, which protects it from `docker image prune`."""
        image = self.document["lock"]["image"]
        return f"{image['repository']}:thor-{image['digest'].removeprefix('sha256:')[:12]}"

    @property
    def checkpoint_name(self) -> str:
        """The name of the checkpoint's directory: ``owner--name@commit``."""
        checkpoint = self.document["lock"]["checkpoint"]
        return f"{checkpoint['repository'].replace('/', '--')}@{checkpoint['commit']}"

    @property
    def checkpoint_files(self) -> list[CheckpointFile]:
        """All files of the checkpoint."""
        files = self.document["lock"]["checkpoint"]["files"]
        return [CheckpointFile(file["path"], file["size"], file["sha256"]) for file in files]

    @property
    def port(self) -> int:
        """The profile's port on 127.0.0.1: the engine's own with ``TCP_LAYOUT``, else the door's."""
        return int(self.document["profile"]["serve"]["port"])

    @property
    def model(self) -> str:
        """The served name of the model."""
        names = self.document["profile"]["serve"]["served-model-name"]
        return str(names if isinstance(names, str) else names[0])

    @property
    def options(self) -> dict[str, Any]:
        """The engine's effective options; with ``TCP_LAYOUT`` the profile's own."""
        options: dict[str, Any] = self.document.get("options") or self.document["profile"]["serve"]
        return options

    def ready_seconds(self, *, first_start: bool) -> float:
        """Return the longest time until the engine is ready."""
        ready = self.document["profile"]["ready"]
        return float(ready["first_start_seconds" if first_start else "start_seconds"])

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Return the files of the release's directory: name → mode and bytes, with release.json."""
        found = {
            name: (int(file["mode"], 8), file["content"].replace(PLACEHOLDER, self.id).encode())
            for name, file in self.document["files"].items()
        }
        return {**found, "release.json": (0o444, canonical_json.encode(self.document) + b"\n")}


def parse(text: bytes) -> Release:
    """Parse a document of at most ``LIMIT_BYTES``.

    Raises:
        AgentError: ``release_invalid``, naming the first fault.
    """
    document: Any = None
    try:
        if len(text) > LIMIT_BYTES:
            fault: str | None = f"it is larger than {LIMIT_BYTES} bytes"
        else:
            document = json.loads(text)
            fault = _fault(document)
    except RecursionError:
        fault = "it is nested too deeply"
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as broken:
        fault = f"{type(broken).__name__}: {broken}"
    if fault:
        raise AgentError(
            "release_invalid",
            f"The release document is invalid: {fault}.",
            "Render the release again with `thorctl render`, with the same version as the agent.",
        )
    return Release(document)


def _fault(document: Any) -> str | None:
    """Return the first fault. Missing keys raise exceptions, which ``parse`` reports."""
    if document.get("schema") not in LAYOUTS:
        return f"schema {document.get('schema')!r} is unknown to this agent"
    if not ID.fullmatch(document["id"]):
        return f"id {document['id']!r} is not of the form <profile>-<12 hex>"
    if document["id"] != canonical_json.release_id(document):
        return f"the id of its content is {canonical_json.release_id(document)}, not {document['id']}"
    image, checkpoint = document["lock"]["image"], document["lock"]["checkpoint"]
    release = Release(document)
    rules: list[tuple[object, str]] = [
        (re.fullmatch(r"[a-z0-9][a-z0-9._:/-]*", image["repository"]), "image repository"),
        (re.fullmatch(r"sha256:[0-9a-f]{64}", image["digest"]), "image digest"),
        (isinstance(image["compressed_bytes"], int), "image compressed_bytes"),
        (re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", checkpoint["repository"]), "repository"),
        (re.fullmatch(r"[0-9a-f]{40}", checkpoint["commit"]), "checkpoint commit"),
        (isinstance(checkpoint["total_bytes"], int), "checkpoint total_bytes"),
        (re.fullmatch(r"https?://[^\s]+", checkpoint["endpoint"]), "checkpoint endpoint"),
        (checkpoint["files"] and all(map(_is_file, release.checkpoint_files)), "checkpoint files"),
        (UNIT_FILE in document["files"], f"files: no {UNIT_FILE}"),
        (all(re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) for name in document["files"]), "a file's name"),
        ("release.json" not in document["files"], "a file named release.json"),
        (all(re.fullmatch(r"0?[0-7]{3}", file["mode"]) for file in document["files"].values()), "a mode"),
        (all(isinstance(file["content"], str) for file in document["files"].values()), "a file's content"),
        (0 < release.port < 65536, "serve.port"),
        (bool(release.model), "serve.served-model-name"),
        (release.ready_seconds(first_start=True) > 0 < release.ready_seconds(first_start=False), "ready"),
        (float(document["device_class"]["image_unpack_ratio"]) >= 0, "image_unpack_ratio"),
        (int(document["device_class"]["reserve"]["disk_bytes"]) >= 0, "reserve.disk_bytes"),
    ]
    if release.layout == SOCKET_LAYOUT:
        rules += [
            (isinstance(document["options"], dict), "options"),
            (document["memory"] is None or int(document["memory"]["total_bytes"]) >= 0, "memory"),
            (document["profile"]["image"]["user"] in USERS, "image.user"),
        ]
    return next((f"{what} is missing or malformed" for holds, what in rules if not holds), None)


def _is_file(file: CheckpointFile) -> bool:
    # No "..", no absolute path, nothing that could be parsed as an option.
    safe = re.fullmatch(r"(\.?[\w][\w.+@=, -]*)(/\.?[\w][\w.+@=, -]*)*", file.path)
    return bool(
        safe and isinstance(file.size, int) and file.size >= 0 and re.fullmatch(r"[0-9a-f]{64}", file.sha256)
    )
