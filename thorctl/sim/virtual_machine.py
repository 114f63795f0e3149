"""One virtual Thor: a folder with its disk and its identity, and its QEMU process.

The folder holds ``image`` (a link to the built image), ``disk.qcow2`` (the differences from it),
``identity/``, ``ssh/``, ``known_hosts``, ``thor.dtb``, ``console.log`` and ``qemu.pid``. It is independent of
Docker and of simulations.
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
BOOT_TIMEOUT_SECONDS = (
    900  # about 40 s on 2 idle cores; emulation on a loaded machine takes many times longer
)
SHUTDOWN_TIMEOUT_SECONDS = 300  # systemd gives a unit 90 s to end
SSH_TIMEOUT_SECONDS = 300
_CONNECT_SECONDS = 10
_POLL_SECONDS = 1.0
_ENDED_TIMEOUT_SECONDS = 30  # of a killed process


@dataclass(frozen=True)
class VirtualThor:
    """A machine; its files are in ``folder``. Its methods read them: two objects may be one machine."""

    folder: Path
    hardware: Hardware

    @property
    def disk(self) -> Path:
        """The disk: an overlay over the image's, or over that of the machine it was forked from."""
        return self.folder / "disk.qcow2"

    @property
    def known_hosts(self) -> Path:
        """Its host key, created with the machine."""
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
        """Whether it was created."""
        return self.disk.exists()

    @property
    def pid(self) -> int | None:
        """The PID of its QEMU process; None while it is off."""
        file = self.folder / "qemu.pid"
        try:
            number = int(file.read_text())
            words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        # PIDs are reused: only a process with this very file on its command line is ours.
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
        """Create its files: a disk over the image's (or over the disk ``over``), and its identity.

        Args:
            image: folder of the built image.
            authorized_key: the administrator's public key, one line.
            private_key: that key's other half; only linked to.
            hosts: further names that it resolves: name → address.
            over: disk of a machine that is off and stays off, copied on write.
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
        draft.rename(self.disk)  # last: an existing disk is complete

    def power_on(self, *, memory: Path | None = None) -> None:
        """Start it; return when QEMU runs, before the machine has booted. Leave a running one alone.

        Args:
            memory: the file of ``save``, with the disk of that moment: it continues there without booting.

        Raises:
            ThorError: ``sim_port_taken``, ``sim_vm_not_started``.
        """
        if self.pid is not None:
            return
        if not can_bind(self.hardware.port, LOOPBACK):  # as QEMU binds: old connections are ignored
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
        """Return the command that runs ``command`` as the administrator over SSH, for streamed output."""
        return [
            *("ssh", "-F", "none", "-p", str(self.hardware.port), "-i", str(self.private_key)),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", f"ConnectTimeout={_CONNECT_SECONDS}"),
            *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self.known_hosts}"),
            *("-o", "GlobalKnownHostsFile=/dev/null", f"{names.USER}@{LOOPBACK}", command),
        ]

    def ssh(self, command: str, *, timeout: float = SSH_TIMEOUT_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a command as the administrator over SSH, with the known host key; does not raise.

        Exit code 255: no connection, or a time-out.
        """
        words = self.ssh_words(command)
        try:
            return subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 255, "", f"no answer within {timeout:g} s")

    def boot_id(self) -> str | None:
        """Return the kernel's boot ID; None without an answer."""
        done = self.ssh("cat /proc/sys/kernel/random/boot_id", timeout=_CONNECT_SECONDS * 3)
        return done.stdout.strip() if done.returncode == 0 else None

    def wait_booted(self, *, after: str | None = None, timeout: float = BOOT_TIMEOUT_SECONDS) -> None:
        """Return when systemd reports ``running``: every unit is up. ``after`` is a boot ID to ignore.

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
        """Reboot regularly: systemd stops every unit first, and QEMU continues. Return when it is up again.

        Raises:
            ThorError: ``sim_device_off``, or as ``wait_booted``.
        """
        before = self._answering()
        self.ssh("sudo systemctl reboot")
        self.wait_booted(after=before)

    def shutdown(self) -> None:
        """Power off regularly. Leave a machine that is off alone.

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
        """Cut the power: QEMU is killed. Data that the machine had not flushed to its disk may be lost."""
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
        """Suspend it and end QEMU: ``memory`` and its disk together are its whole state.

        Raises:
            ThorError: ``sim_vm_monitor``; a machine without a monitor cannot be saved.
        """
        place = self.hardware.monitor or self.folder / "monitor"
        with virtual_monitor.connected(place, self.hardware.name) as monitor:
            monitor.save_memory(memory)
        self.cut()  # it is suspended, and has nothing left to write

    def destroy(self) -> None:
        """Cut its power and remove its folder. Missing parts are no error."""
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
    """Return whether a process ends in time, which frees its disk and its port."""
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
