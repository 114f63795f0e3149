"""One step of an image: a container that may use the host's settings and is committed without them.

Files are passed as archives through the engine's API and variables per command, so the image contains neither
a bind mount's stub nor a proxy's address.
"""

from __future__ import annotations

import io
import secrets
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from docker.types import Mount

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from docker import DockerClient
    from docker.models.containers import Container

SCRATCH = "/mnt"  # exists in the base; emptied before the commit
KEPT_LINES = 40  # of a failed command's output
NAME_PREFIX = "thorctl-build-"  # of build containers and volumes, to find remaining ones


def archive(files: Mapping[str, bytes], mode: int = 0o755) -> bytes:
    """Return a tar archive of these files, owned by root, without times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Step:
    """A running build container."""

    def __init__(self, container: Container, on_line: Callable[[str], None]) -> None:
        self.container = container
        self._on_line = on_line

    def put(self, files: Mapping[str, bytes], folder: str = SCRATCH) -> None:
        """Write files into an existing folder of the container."""
        if not self.container.put_archive(folder, archive(files)):
            raise ThorError(
                "image_build_failed",
                f"The Docker engine refused files for {folder}.",
                "Read the engine's log (`scripts/engine status`), then repeat the command.",
            )

    def run(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        """Run a command; pass its output line by line to the callback.

        Raises:
            ThorError: ``image_build_failed``, with the last lines of the output.
        """
        api = self.container.client.api  # type: ignore[union-attr]  # one made by a client has it
        exec_id = api.exec_create(self.container.id, command, environment=dict(environment or {}))["Id"]
        tail: list[str] = []
        for line in _lines(api.exec_start(exec_id, stream=True)):
            tail = [*tail[1 - KEPT_LINES :], line]
            self._on_line(line)
        code = api.exec_inspect(exec_id)["ExitCode"]
        if code != 0:
            raise ThorError(
                "image_build_failed",
                f"{' '.join(command)} exited with {code}:\n" + "\n".join(tail),
                "Correct what its last lines name (often there is no route to the mirror), then "
                "repeat the command.",
            )

    def commit(self, repository: str, tag: str, labels: Mapping[str, str]) -> None:
        """Create an image of the container's file system; its configuration is the parent's."""
        self.run(["sh", "-c", f"rm -rf {SCRATCH}/* /tmp/* /var/tmp/*"])
        changes = ['CMD ["/bin/sh"]', *(f"LABEL {key}={value}" for key, value in labels.items())]
        self.container.commit(repository, tag, changes=changes)


@contextmanager
def step(
    client: DockerClient,
    image: str,
    on_line: Callable[[str], None],
    *,
    binds: tuple[str, ...] = (),
    volumes: Mapping[str, str] | None = None,
) -> Iterator[Step]:
    """Yield an idle container of ``image``; remove it at the end.

    It shares the host's network, so that a proxy or mirror on the host's loopback is reachable.
    ``binds`` are read-only host folders at the same path (where the image lacks one, its stub would be
    committed), ``volumes`` maps volume names to folders.
    """
    # Mounts, not the SDK's `volumes`, which are declared in the configuration and so committed.
    mounts = [Mount(path, path, type="bind", read_only=True) for path in binds]
    mounts += [Mount(path, name, type="volume") for name, path in (volumes or {}).items()]
    container = client.containers.run(
        image,
        ["sleep", "infinity"],
        entrypoint=[],
        detach=True,
        network_mode="host",
        mounts=mounts,
        name=NAME_PREFIX + secrets.token_hex(6),
    )
    try:
        yield Step(container, on_line)
    finally:
        container.remove(force=True, v=True)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        yield from (line.decode(errors="replace") for line in whole if line.strip())
    if rest.strip():
        yield rest.decode(errors="replace")
