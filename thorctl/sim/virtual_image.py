"""The disk, kernel and initial RAM disk of virtual Thors: built once per content of the inputs.

They are files beside the simulations, not an image of the Docker engine: QEMU reads files.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl import shipped
from thorctl.sim import binfmt, host_command, image_base, image_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thorctl.sim.images import Report

KIND = "sim-vm"
SUITE = "bookworm"
DOCKER: image_inputs.Docker = "20.10"  # of that release
DISK_BYTES = 16 << 30  # of the machine's disk; on this host it takes the written part
# Increase it when this module builds something else from the same files.
RECIPE = 1

_HERE = image_inputs.ROOT / KIND
_DEVICE = image_inputs.ROOT / "sim-device"
# Shared with the container device: tools and settings.
_SHARED_TREE = _DEVICE / "fakes" / "rootfs"
_SHARED_FILES = (
    "etc/environment",
    "etc/default/locale",
    "etc/motd",
    "etc/ssh/sshd_config.d/10-thor.conf",
    "etc/sudoers.d/thor",
)
# Drivers of hardware that QEMU's machine lacks: most of the kernel's package, and of its installation time.
_NO_SUCH_HARDWARE = (
    "sound",
    "drivers/gpu",
    "drivers/hid",
    "drivers/iio",
    "drivers/infiniband",
    "drivers/media",
    "drivers/mtd",
    "drivers/net/ethernet",
    "drivers/net/wireless",
    "drivers/scsi",
    "drivers/staging",
    "drivers/usb",
)
_BUILD = "tmp/build"  # in the root file system, gone at the end
_SCRIPTS = {"jetpack-packages": _DEVICE, "setup": _HERE}
# nvidia-ctk is simulated too (images/sim-device/fakes), so its package exists to be queried and held.
_STEPS = ("jetpack-packages nvidia-container-toolkit 1.18.1-1", "setup")
_HOME = shipped.local_folder()  # ignored by git
_DETAIL_WIDTH = 160

TOOLS = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "fdtput": "device-tree-compiler",
    "mke2fs": "e2fsprogs",
    "arch-test": "arch-test",
}


@dataclass(frozen=True, slots=True)
class VirtualImage:
    """A built image: ``folder`` holds ``disk.qcow2``, ``kernel`` and ``initrd``."""

    folder: Path
    built: bool  # False: it existed already
    seconds: float


def home() -> Path:
    """Return the folder with a folder per version of the image."""
    return _HOME / KIND


def layout() -> dict[str, Path]:
    """Return the files added to the packages: path inside → file of the checkout."""
    found = {path.relative_to(_SHARED_TREE).as_posix(): path for path in _files(_SHARED_TREE)}
    found |= {name: _DEVICE / "rootfs" / name for name in _SHARED_FILES}
    own = _HERE / "rootfs"
    found |= {path.relative_to(own).as_posix(): path for path in _files(own)}
    return found | {f"{_BUILD}/{name}": folder / name for name, folder in _SCRIPTS.items()}


def packages() -> list[str]:
    """Return the Debian packages of the root file system."""
    return image_inputs.words((_HERE / "packages.txt").read_text())


def tag() -> str:
    """Return 12 hex of the SHA-256 over all inputs of the image."""
    inputs = {**layout(), "make-disk": _HERE / "make-disk", "packages.txt": _HERE / "packages.txt"}
    recipe = [f"recipe {RECIPE}", str(DISK_BYTES), *options(Path("files.tar"))]
    digest = hashlib.sha256("\n".join(recipe).encode())
    for name, path in sorted(inputs.items()):
        digest.update(f"{name} {image_inputs.content(path)}\n".encode())
    return digest.hexdigest()[:12]


def ensure(report: Report) -> VirtualImage:
    """Return the image, built now if missing. Safe for concurrent processes and threads.

    Raises:
        ThorError: ``tool_missing``, ``binfmt_unavailable``, ``image_build_failed``.
    """
    host_command.require(TOOLS)
    folder = home() / tag()
    began = time.monotonic()
    with _one_at_a_time():
        built = not folder.is_dir()
        if built:
            _build(folder, report)
    return VirtualImage(folder, built, time.monotonic() - began)


def remove() -> int:
    """Remove all versions of the image; return their number. Virtual Thors of them no longer boot."""
    there = [path for path in home().glob("*") if path.is_dir()] if home().is_dir() else []
    shutil.rmtree(home(), ignore_errors=True)
    return len(there)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    _HOME.mkdir(parents=True, exist_ok=True)
    with (_HOME / f"build-{KIND}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path, report: Report) -> None:
    home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="draft-", dir=home()) as draft:
        tar = Path(draft) / "root.tar"
        files = Path(draft) / "files.tar"
        files.write_bytes(archive(layout()))
        with _timed(report, f"{KIND} root file system") as on_line, binfmt.aarch64_programs():
            image_base.make(str(tar), SUITE, packages(), on_line, options(files))
        files.unlink()
        with _timed(report, f"{KIND} disk") as on_line:
            words = [str(_HERE / "make-disk"), str(tar), draft, str(DISK_BYTES)]
            host_command.run(
                [*host_command.as_root(), *words],
                on_line,
                name="make-disk",
                remedy="fix what its last lines name (often: a full disk), then repeat the command",
            )
        tar.unlink()
        made = Path(draft) / "whole"
        made.mkdir()
        for part in ("disk.qcow2", "kernel", "initrd"):
            (Path(draft) / part).rename(made / part)
        made.rename(folder)  # atomic


def options(files: Path) -> list[str]:
    """Return mmdebstrap's options for this image in addition to the base's."""
    steps = " && ".join(f"/{_BUILD}/{step}" for step in _STEPS)
    return [
        "--arch=arm64",
        # An interrupted build is discarded, so syncs per package are useless.
        "--dpkgopt=force-unsafe-io",
        "--dpkgopt=force-confold",  # keep settings that were placed before their package
        *(f"--dpkgopt=path-exclude=/lib/modules/*/kernel/{part}/*" for part in _NO_SUCH_HARDWARE),
        # Before the packages: the kernel's package creates the initial RAM disk.
        f"--essential-hook=tar-in {files} /",
        f'--customize-hook=chroot "$1" sh -c "{steps}"',
        f'--customize-hook=rm -r "$1"/{_BUILD}',
    ]


def archive(files: dict[str, Path]) -> bytes:
    """Return a tar archive of these files, owned by root, without times; executable as in the checkout."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            if path.is_symlink():
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
                tar.addfile(member)
                continue
            member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            member.size = path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(member, content)
    return buffer.getvalue()


def _files(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file() or path.is_symlink()]


@contextmanager
def _timed(report: Report, what: str) -> Iterator[Callable[[str], None]]:
    began = time.monotonic()
    report(what, "", None)
    yield lambda line: report(what, line.strip()[:_DETAIL_WIDTH], None)
    report(what, "", time.monotonic() - began)
