"""One virtual Thor: a folder with its disk and its identity, and the QEMU process that runs from it.

The folder holds ``image`` (a link to the built image), ``disk.qcow2`` (what differs from it), ``identity/``,
``ssh/``, ``known_hosts``, ``thor.dtb``, ``console.log`` and ``qemu.pid``. It knows no Docker engine
and no simulation.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.sim import layout as names
from thorctl.sim import ssh_key, virtual_command, virtual_monitor
from thorctl.sim.ports import can_bind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.sim.virtual_command import Hardware

LOOPBACK = "127.0.0.1"
BOOT_TIMEOUT_SECONDS = 900  # about 40 s on 2 idle cores; emulation on a loaded machine takes many times that
SHUTDOWN_TIMEOUT_SECONDS = 300  # systemd gives a unit 90 s to end
SSH_TIMEOUT_SECONDS = 300
_CONNECT_SECONDS = 10
_POLL_SECONDS = 1.0
_ENDED_TIMEOUT_SECONDS = 30  # of a killed process


@dataclass(frozen=True)
class VirtualThor:
    """A machine; its files lie in ``folder``. Its methods look at what is there: two objects may mean one."""

    folder: Path
    hardware: Hardware

    @property
    def disk(self) -> Path:
        """The disk: an overlay over the image's, or over that of the machine it was forked from."""
        return self.folder / "disk.qcow2"

    @property
    def known_hosts(self) -> Path:
        """Its host key, as it was made with it."""
        return self.folder / "known_hosts"

    @property
    def host_key(self) -> str:
        """Its public SSH host key, one line."""
        return (self.folder / "identity" / "host_key.pub").read_text(encoding="ascii").strip()

    @property
    def private_key(self) -> Path:
        """The administrator's SSH key."""
        return self.folder / "ssh" / "id_ed25519"

    @property
    def exists(self) -> bool:
        """Whether it was made."""
        return self.disk.exists()

    @property
    def pid(self) -> int | None:
        """Of its QEMU process; None while it is off."""
        file = self.folder / "qemu.pid"
        try:
            number = int(file.read_text())
            words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        # Numbers are given out again: only the process that was told this very file is ours.
        return number if str(file).encode() in words else None

    def create(
        self,
        image: Path,
        *,
        authorized_key: str,
        private_key: Path,
        hosts: Mapping[str, str] | None = None,
        over: Path | None = None,
    ) -> None:
        """Makes its files: a disk over the image's (or over the disk ``over``), and who it is.

        Args:
            image: folder of the built image.
            authorized_key: the administrator's public key, one line.
            private_key: that key's other half; only linked to.
            hosts: further names it knows: name → address.
            over: disk of a machine that is off and stays off: this one begins as its copy.
        """
        identity = self.folder / "identity"
        identity.mkdir(parents=True, exist_ok=True, mode=0o700)
        _link(self.folder / "image", image)
        _link(self.private_key, private_key)
        public = ssh_key.ensure(identity / "host_key")
        lines = [f"{LOOPBACK} localhost", f"127.0.1.1 {self.hardware.name}"]
        lines += [f"{address} {name}" for name, address in (hosts or {}).items()]
        (identity / "hostname").write_text(f"{self.hardware.name}\n", encoding="ascii")
        (identity / "hosts").write_text("\n".join(lines) + "\n", encoding="ascii")
        (identity / "authorized_keys").write_text(authorized_key, encoding="ascii")
        place = f"[{LOOPBACK}]:{self.hardware.port}"
        self.known_hosts.write_text(f"{place} {' '.join(public.split()[:2])}\n", encoding="ascii")
        backing = over or image / "disk.qcow2"
        draft = self.disk.with_suffix(".new")
        _tool(
            [
                "qemu-img",
                "create",
                "-q",
                "-f",
                "qcow2",
                "-F",
                "qcow2",
                "-b",
                str(backing.absolute()),
                str(draft),
            ]
        )
        draft.rename(self.disk)  # last: where a disk is, all of it is

    def power_on(self, *, memory: Path | None = None) -> None:
        """Starts it; returns when QEMU runs, before the machine has booted. One that runs is left alone.

        Args:
            memory: what ``save`` wrote, with the disk of that moment: it goes on there and does not boot.

        Raises:
            ThorError: ``sim_port_taken``, ``sim_vm_not_started``.
        """
        if self.pid is not None:
            return
        if not can_bind(self.hardware.port, LOOPBACK):  # as QEMU binds: old connections do not count
            raise ThorError(
                "sim_port_taken",
                f"Port {self.hardware.port} of {LOOPBACK}, which leads to {self.hardware.name}, is taken.",
                f"Stop the program that has it (`ss -ltnp 'sport = :{self.hardware.port}'` shows it), "
                "then repeat the command.",
                device=self.hardware.name,
            )
        tree = self.folder / "thor.dtb"
        _tool(virtual_command.dump_device_tree(self.hardware, tree))
        for command in virtual_command.patch_device_tree(tree):
            _tool(command)
        _tool(virtual_command.start(self.hardware, self.folder, memory=memory))

    def ssh_words(self, command: str) -> list[str]:
        """Runs a command as the administrator over SSH: for a caller who reads its output as it comes."""
        return [
            *("ssh", "-F", "none", "-p", str(self.hardware.port), "-i", str(self.private_key)),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", f"ConnectTimeout={_CONNECT_SECONDS}"),
            *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self.known_hosts}"),
            *("-o", "GlobalKnownHostsFile=/dev/null", f"{names.USER}@{LOOPBACK}", command),
        ]

    def ssh(self, command: str, *, timeout: float = SSH_TIMEOUT_SECONDS) -> subprocess.CompletedProcess[str]:
        """Runs a command as the administrator over SSH, with the host key that it was given; does not raise.

        Exit code 255: there was no connection, also when the time was up.
        """
        words = self.ssh_words(command)
        try:
            return subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 255, "", f"no answer within {timeout:g} s")

    def boot_id(self) -> str | None:
        """Which boot this is, as the kernel says; None where nobody answers."""
        done = self.ssh("cat /proc/sys/kernel/random/boot_id", timeout=_CONNECT_SECONDS * 3)
        return done.stdout.strip() if done.returncode == 0 else None

    def wait_booted(self, *, after: str | None = None, timeout: float = BOOT_TIMEOUT_SECONDS) -> None:
        """Returns when systemd says ``running``: every unit is up. ``after`` is a boot that does not count.

        Raises:
            ThorError: ``sim_device_unhealthy`` (units failed), ``sim_device_not_booted`` (too late, or dead).
        """
        deadline = time.monotonic() + timeout
        state = "unknown"
        while time.monotonic() < deadline and self.pid is not None:
            boot = self.boot_id()
            if boot is not None and boot != after:
                state = self.ssh("systemctl is-system-running").stdout.strip() or "unknown"
                if state == "running":
                    return
                if state in {"degraded", "maintenance"}:
                    raise self._unhealthy()
            time.sleep(_POLL_SECONDS)
        raise ThorError(
            "sim_device_not_booted",
            f"{self.hardware.name} did not boot within {timeout:g} s (systemd {state}). {self._console()}",
            f"Read {self.folder / 'console.log'}, then start over: `thorctl sim down` and `thorctl sim up`.",
            device=self.hardware.name,
        )

    def reboot(self) -> None:
        """An orderly reboot: systemd stops every unit first, and QEMU goes on. Returns when it is up again.

        Raises:
            ThorError: ``sim_device_off``, or as ``wait_booted``.
        """
        before = self._answering()
        self.ssh("sudo systemctl reboot")
        self.wait_booted(after=before)

    def shutdown(self) -> None:
        """Switches it off in order. One that is off is left alone.

        Raises:
            ThorError: ``sim_device_off`` (it does not answer), ``sim_vm_not_stopped``.
        """
        pid = self.pid
        if pid is None:
            return
        self._answering()
        self.ssh("sudo systemctl poweroff")
        if not _ended(pid, SHUTDOWN_TIMEOUT_SECONDS):
            raise ThorError(
                "sim_vm_not_stopped",
                f"{self.hardware.name} still runs after a shutdown of {SHUTDOWN_TIMEOUT_SECONDS} s. "
                f"{self._console()}",
                f"Read {self.folder / 'console.log'}, then cut its power: `thorctl sim cut "
                f"{self.hardware.name}`.",
                device=self.hardware.name,
            )

    def cut(self) -> None:
        """A power cut: QEMU is killed, at once. What the machine had not flushed to its disk may be lost."""
        pid = self.pid
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if not _ended(pid, _ENDED_TIMEOUT_SECONDS):
            raise ThorError(
                "sim_vm_not_stopped",
                f"QEMU of {self.hardware.name} (process {pid}) still exists after SIGKILL.",
                "Read `dmesg`: the kernel keeps the process; a restart of this machine ends it.",
                device=self.hardware.name,
            )

    def save(self, memory: Path) -> None:
        """Ends it in the middle of what it does: ``memory`` and its disk together are its whole state.

        Raises:
            ThorError: ``sim_vm_monitor``; a machine without a monitor cannot be saved.
        """
        place = self.hardware.monitor or self.folder / "monitor"
        with virtual_monitor.connected(place, self.hardware.name) as monitor:
            monitor.save_memory(memory)
        self.cut()  # it stands still, and has nothing left to write

    def destroy(self) -> None:
        """Cuts its power and removes its folder. What is gone already is no error."""
        self.cut()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answering(self) -> str:
        boot = self.boot_id()
        if boot is None:
            raise ThorError(
                "sim_device_off",
                f"{self.hardware.name} does not answer over SSH.",
                "Switch it on with `thorctl sim up`, or wait until it has booted.",
                device=self.hardware.name,
            )
        return boot

    def _unhealthy(self) -> ThorError:
        failed = self.ssh("systemctl list-units --failed --plain --no-legend --no-pager").stdout
        units = ", ".join(line.split()[0] for line in failed.splitlines())
        return ThorError(
            "sim_device_unhealthy",
            f"{self.hardware.name} booted, but units failed: {units}",
            "Read `journalctl -b` on it, then start over: `thorctl sim down` and `thorctl sim up`.",
            device=self.hardware.name,
        )

    def _console(self) -> str:
        try:
            text = (self.folder / "console.log").read_text(errors="replace")
        except OSError:
            return "It wrote nothing on its console."
        return "Its console's end: " + " / ".join(text.split("\n")[-4:])


def _ended(pid: int, seconds: float) -> bool:
    """Whether a process ends in time: all of it, its disk and its port are free again then."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    path.symlink_to(target.absolute())


def _tool(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ThorError(
            "sim_vm_not_started",
            f"The program {command[0]} exited with {done.returncode}: {done.stderr.strip()}.",
            "Correct what its last line names, then repeat the command.",
        )
