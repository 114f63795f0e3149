"""The base images: Debian root file systems made by mmdebstrap, independent of the host's release."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.sim import host_apt, host_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from docker import DockerClient

TOOLS = ("mmdebstrap", "apt-config")
INSTALL = "apt-get install mmdebstrap debian-archive-keyring"
# Documentation except licences, and translations, which a container does not need.
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/doc/*")


def command(
    out: str,
    suite: str,
    packages: list[str],
    *,
    sources: list[str],
    apt_options: list[str],
    more: Sequence[str] = (),
) -> list[str]:
    """Return the mmdebstrap command that writes ``out`` (a tar file) without the host's apt settings.

    Without ``sources`` mmdebstrap uses Debian's own and leaves those in the image, for the images on top.
    ``more`` are further options; hooks among them run last.
    """
    forget = ['--customize-hook=: > "$1"/etc/apt/sources.list'] if sources else []
    return [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(packages)}",
        *(f"--aptopt={line}" for line in ['APT::Install-Recommends "false";', *apt_options]),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        '--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap',
        *forget,
        '--customize-hook=rm -rf "$1"/etc/apt/sources.list.d/* "$1"/var/log/* "$1"/var/cache/*',
        '--customize-hook=rm -f "$1"/etc/machine-id "$1"/etc/hostname "$1"/etc/resolv.conf',
        *more,
        suite,
        out,
        *sources,
    ]


def build(
    client: DockerClient,
    name: str,
    suite: str,
    packages: list[str],
    *,
    labels: dict[str, str],
    on_line: Callable[[str], None],
) -> None:
    """Create the root file system and import it as the image ``name`` (``repository:tag``).

    Raises:
        ThorError: ``tool_missing`` or ``image_build_failed``.
    """
    with tempfile.TemporaryDirectory(prefix="thorctl-base-") as folder:
        tar = str(Path(folder) / "base.tar")
        make(tar, suite, packages, on_line)
        repository, _, tag = name.rpartition(":")
        changes = ['CMD ["/bin/sh"]', *(f"LABEL {key}={value}" for key, value in labels.items())]
        client.api.import_image_from_file(tar, repository=repository, tag=tag, changes=changes)


def make(
    tar: str, suite: str, packages: list[str], on_line: Callable[[str], None], more: Sequence[str] = ()
) -> None:
    """Write a root file system with the host's own apt settings; see ``command``.

    Raises:
        ThorError: ``tool_missing`` or ``image_build_failed``.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not Path(host_apt.KEYRING).is_file():
        missing.append("debian-archive-keyring")
    if missing:
        raise ThorError(
            "tool_missing",
            f"Programs are not installed: {', '.join(missing)}.",
            f"Install them as root: `{INSTALL}`.",
        )
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    sources = host_apt.mirrors(host_apt.read_sources()).sources(suite)
    host_command.run(
        [
            *host_command.as_root(),
            *command(tar, suite, packages, sources=sources, apt_options=host_apt.options(dump), more=more),
        ],
        on_line,
        name="mmdebstrap",
        remedy="fix what its last lines name (often: no route to the mirror), then repeat the command",
    )
