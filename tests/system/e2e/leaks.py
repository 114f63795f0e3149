"""Where secrets turn up: in files, logs, arguments, environments; on a device and on this machine."""

from __future__ import annotations

import base64
import io
import json
import os
import tarfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

PAUSE_SECONDS = 0.05  # between two looks at all processes: the engine is to get ready beside it
FOLDER = "/root/leaks"  # on the device; holds what is looked for, so it is not looked through
# Looks at every process until it is told to stop. A file tells it for what, or it would find itself.
WATCHER = f"""
import json, os, pathlib, re, time
needles = json.load(open("{FOLDER}/needles.json"))
any_of_them = re.compile("|".join(re.escape(needle) for _, needle in needles).encode())
looks, hits = 0, set()
while not os.path.exists("{FOLDER}/stop"):
    for name in filter(str.isdecimal, os.listdir("/proc")):
        for part in ("cmdline", "environ"):
            try:
                text = pathlib.Path("/proc", name, part).read_bytes()
            except OSError:
                continue
            looks += 1
            for found in any_of_them.findall(text):
                what = next(what for what, needle in needles if needle.encode() == found)
                hits.add((what, part, text[:40].decode(errors="replace")))
    time.sleep({PAUSE_SECONDS})
pathlib.Path("{FOLDER}/hits.json").write_text(json.dumps([looks, sorted(hits)]))
"""
LOGS = (
    "journalctl --no-pager --all --output=export",
    "docker logs thor-engine",
    "docker inspect $(docker ps --all --quiet) $(docker images --quiet)",
    "docker info",
)
PATIENCE_SECONDS = 120.0
LAYERS = "{{.GraphDriver.Data.LowerDir}}:{{.GraphDriver.Data.UpperDir}}"
SEARCH = f"""
exec 2>/dev/null
layers=$(docker image inspect $(docker images --quiet) --format '{LAYERS}' | tr : '\\n' | grep ^/)
for place in /proc /sys {FOLDER} '/var/lib/docker/overlay2/*/merged' $layers; do
  set -- "$@" -path "$place" -prune -o
done
find / "$@" -type f -print0 | LC_ALL=C xargs -0 grep -laF -f {FOLDER}/needles.txt |
  xargs -r stat -c '%a %U:%G %n'
"""


def needles(plain: dict[str, str]) -> list[tuple[str, str]]:
    """(what, text to look for): each secret as it is, and what base64 makes of its inside."""
    found = list(plain.items())
    for what, secret in plain.items():
        for shift in range(3):
            encoded = base64.b64encode(b"x" * shift + secret.encode()).decode()
            found.append((f"{what}, in base64", encoded[4:-4]))
    return found


def in_text(text: str, plain: dict[str, str]) -> list[str]:
    """Which secrets stand in it."""
    return [what for what, needle in needles(plain) if needle in text]


def in_files(folder: Path, plain: dict[str, str], since: float) -> set[tuple[str, Path]]:
    """(secret, file) for every file below a folder of this machine that was changed at ``since`` or later.

    By the time of change, which nobody can set: what is older was written before there were secrets.
    """
    found = set()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_ctime >= since:
            found |= {(what, path) for what in in_text(path.read_text(encoding="latin-1"), plain)}
    return found


class LeakyPlaces:
    """A device, looked through by root."""

    def __init__(self, container: Container) -> None:
        self.container = container

    def sh(self, command: str) -> str:
        """Output of both streams."""
        output = cast("bytes", self.container.exec_run(["sh", "-c", command]).output)
        return output.decode(errors="replace")

    def files(self, plain: dict[str, str]) -> list[str]:
        """``mode owner:group path`` of every file that holds a secret, Docker's own among them; sorted.

        Layers of images are left out: their bytes are a registry's, by digest. A container's own lie beside.
        """
        self._put({"needles.txt": "\n".join(needle for _, needle in needles(plain)) + "\n"})
        return sorted(self.sh(SEARCH).splitlines())

    def logs(self) -> str:
        """All that anybody can read of what happened."""
        return "\n".join(self.sh(command) for command in LOGS)

    @contextmanager
    def processes_watched(self, plain: dict[str, str]) -> Iterator[list[list[str]]]:
        """Arguments and environments of all its processes during the block; what was found is in the list."""
        self.sh(f"rm -rf {FOLDER}")
        self._put({"needles.json": json.dumps(needles(plain)), "watch.py": WATCHER})
        found: list[list[str]] = []
        self.container.exec_run(["python3", f"{FOLDER}/watch.py"], detach=True)
        try:
            yield found
        finally:
            self.sh(f"touch {FOLDER}/stop")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (text := self.sh(f"cat {FOLDER}/hits.json 2>/dev/null")).endswith("]"):
            assert time.monotonic() < deadline, "the watcher has not ended"
            time.sleep(0.2)
        looks, hits = json.loads(text)
        assert looks > 1000, "hardly looked at all"
        found += hits

    def _put(self, files: dict[str, str]) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(f"{FOLDER[1:]}/{name}")
                member.size, member.mode = len(text.encode()), 0o600
                tar.addfile(member, io.BytesIO(text.encode()))
        assert self.container.put_archive("/", out.getvalue())


@contextmanager
def processes_watched_here(plain: dict[str, str]) -> Iterator[set[tuple[str, str]]]:
    """As on a device, but of this machine: (secret, arguments) of processes seen with one."""
    found: set[tuple[str, str]] = set()
    looked_for = needles(plain)
    over = threading.Event()

    def look() -> None:
        while not over.wait(PAUSE_SECONDS):
            for name in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names, many times a second
                try:
                    text = Path("/proc", name, "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                found.update((what, text) for what, needle in looked_for if needle in text)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()
