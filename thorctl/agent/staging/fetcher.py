"""The agent's side of a download: start the fetcher in its sandbox, watch it, stop it.

The fetcher's output is not trusted: bytes are measured in its directory, and the caller hashes what it takes
over.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.files import read_json
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.program import interpreter, program
from thorctl.agent.staging import hub_token, takeover
from thorctl.protocol.sizes import gigabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thorctl.agent.core.account import Account
    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import CheckpointFile, Release

UNIT = "thor-fetch.service"
POLL_SECONDS = 0.5
SILENCE_SECONDS = 600.0  # without one new byte; far above the fetcher's own limits
STOP_SECONDS = 30.0
SLACK_BYTES = 16 * 1024 * 1024  # for records beside the files' own bytes
LINE_BYTES = 65536
WORDS = 300  # longest shown part of the fetcher's output, in characters

# systemd's sandbox of the fetcher. Names are looked up by DNS (UDP or TCP), without AF_UNIX.
SANDBOX = (
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "PrivateMounts=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RemoveIPC=yes",
    "RestrictAddressFamilies=AF_INET AF_INET6",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources @keyring @memlock @setuid @timer",
    "SystemCallFilter=~link linkat symlink symlinkat mkdir mkdirat mknod mknodat kill tgkill tkill ptrace",
    "SystemCallErrorNumber=EPERM",
    "UMask=0077",
    "MemoryMax=512M",
    "TasksMax=32",
    "LimitNOFILE=4096",
    "LimitCORE=0",
    "KillMode=control-group",
    "TimeoutStopSec=10s",
    "OOMPolicy=kill",
)

_STAGE_AGAIN = "Stage again: the download continues where it stopped."
_CLOCK = "Set the device's clock (`timedatectl`; thor_time_servers), then stage again."
# code → (condition, remedy, whether another try may succeed without a change)
_MEANING = {
    "hub_clock": ("The hub's certificate is not valid at this device's time", _CLOCK, False),
    "hub_untrusted": (
        "The hub's certificate is not trusted by this device",
        "Give the device the authority that signed it (thor_host_hub_ca), run site.yml, stage again.",
        False,
    ),
    "hub_name_unknown": (
        "The hub's name could not be resolved",
        "Check the endpoint's spelling (thor_host_hub_endpoint) and the device's DNS (`resolvectl query`). "
        + _STAGE_AGAIN,
        True,
    ),
    "hub_unreachable": (
        "The hub could not be reached",
        "Check that the hub runs and that the device's network and firewall allow it. " + _STAGE_AGAIN,
        True,
    ),
    "hub_proxy_failed": (
        "The proxy does not reach the hub",
        "Check the proxy (thor_host_hub_proxy, thor_host_hub_no_proxy), run site.yml, stage again.",
        True,
    ),
    "hub_limited": (
        "The hub limits the requests of this device",
        "Wait, then stage again; a token raises the limit (thor_hub_token, docs/how-to/secrets.md).",
        True,
    ),
    "hub_unavailable": ("The hub or its storage fails", "Wait until it responds. " + _STAGE_AGAIN, True),
    "hub_stalled": (
        "The hub stopped sending",
        "Check the device's connection. " + _STAGE_AGAIN,
        True,
    ),
    "hub_answer_invalid": (
        "The answer is not a model hub's",
        "Check the endpoint (thor_host_hub_endpoint), and proxies and portals in between.",
        True,
    ),
    "hub_denied": (
        "The hub denies this device access to the checkpoint",
        "Set a token with read access (thor_hub_token, docs/how-to/secrets.md), run site.yml, stage again.",
        False,
    ),
    "file_missing": (
        "The hub lacks a file of the checkpoint",
        "Check repository, commit and endpoint of the lock, or renew it with `thorctl lock`.",
        False,
    ),
    "file_wrong_size": (
        "The hub's file has another size than the lock's",
        "Check the endpoint (a mirror may be out of date), or lock the hub's files with `thorctl lock`.",
        False,
    ),
    "file_wrong_hash": (
        "The hub's file has another hash than the lock's",
        "Check the endpoint (a mirror may be out of date), or lock the hub's files with `thorctl lock`.",
        False,
    ),
    "download_interrupted": ("The download was interrupted", _STAGE_AGAIN, True),
    "disk_too_small": (
        "The disk filled up during the download",
        "Free space (`sudo thor-agent gc` on the device), then stage again: fetched bytes are kept.",
        False,
    ),
    "disk_read_only": (
        "The disk is read-only",
        "Read the kernel's errors with `dmesg` on the device, check or replace the disk, reboot, then stage.",
        False,
    ),
}
_FAILED = (
    "The fetcher failed",
    "Read `journalctl -u thor-fetch` on the device, then stage again: it continues where it stopped.",
    True,
)


def run(
    ctx: Context,
    release: Release,
    files: Sequence[CheckpointFile],
    user: Account,
    on_bytes: Callable[[int], None],
) -> None:
    """Download ``files`` into the account's directory of the checkpoint; return after the fetcher's end.

    Raises:
        AgentError: one of ``_MEANING``, ``fetcher_failed``, ``fetcher_not_stopped``, ``incoming_unsafe``,
            ``bad_state``. Fetched bytes are kept for the next stage.
    """
    name = release.checkpoint_name
    cap = sum(file.size for file in {file.sha256: file for file in files}.values()) + SLACK_BYTES
    stop(ctx)  # a killed stage may have left one
    takeover.prepare(ctx, name, user)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        with takeover.opened(ctx, name) as directory, _order(ctx, release, files) as order:
            if directory is None:
                raise takeover.unsafe(name, "was removed")
            argv = arguments(ctx, name, user, max(file.size for file in files))
            try:
                process = ctx.runner.spawn(argv, output=writing, stdin=order.fileno())
            except OSError as missing:
                raise _error("fetcher_failed", str(missing), release, 0) from missing
            finally:
                os.close(writing)
                writing = -1
            listener = _Listener(reading)
            try:
                _watch(ctx, process, listener, directory, cap, on_bytes)
            finally:
                stop(ctx)
                if process.poll() is None:
                    process.terminate()
                process.wait()
            listener.read()
            _, done = takeover.measure(directory)
            on_bytes(done)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if listener.ended and listener.fault is None and process.returncode == 0:
        return
    fault = listener.fault or {
        "code": "fetcher_failed",
        "reason": listener.last or f"exit {process.returncode}",
    }
    raise _error(str(fault.get("code")), str(fault.get("reason")), release, done, fault.get("pause"))


def arguments(ctx: Context, name: str, user: Account, largest: int) -> list[str]:
    """Return the ``systemd-run`` command. The order, with the token, goes to stdin: no one can read it."""
    code = "from thorctl.agent.staging.fetch import main; main()"
    properties = (
        f"User={user.name}",
        f"Group={user.gid}",
        f"WorkingDirectory={ctx.paths.incoming / name}",
        f"ReadWritePaths={ctx.paths.incoming / name}",
        f"LimitFSIZE={largest + SLACK_BYTES}",
        *SANDBOX,
    )
    return [
        *("systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--service-type=exec"),
        *("--unit", UNIT, "--description", "thorctl: checkpoint download"),
        *(word for one in properties for word in ("--property", one)),
        "--",
        *(interpreter(), "-I", "-c"),
        f"import sys; sys.path.insert(0, {str(program())!r}); {code}",
    ]


def stop(ctx: Context) -> None:
    """Stop the unit; return when none of its processes is left.

    Raises:
        AgentError: ``fetcher_not_stopped``.
    """
    ctx.runner.run(["systemctl", "stop", UNIT], timeout=STOP_SECONDS)
    until = ctx.clock.monotonic() + STOP_SECONDS
    while _alive(ctx):
        if ctx.clock.monotonic() >= until:
            raise AgentError(
                "fetcher_not_stopped",
                f"Processes of {UNIT} are left {STOP_SECONDS:g} s after it was stopped.",
                f"Read `systemctl status {UNIT}` on the device; reboot it if they cannot be killed.",
            )
        ctx.clock.sleep(0.1)


def _alive(ctx: Context) -> bool:
    shown = ctx.runner.run(["systemctl", "show", "--property", "ActiveState", UNIT], timeout=STOP_SECONDS)
    if re.search(r"^ActiveState=(active|activating|deactivating|reloading)$", shown.stdout, re.MULTILINE):
        return True
    root = ctx.paths.at("/sys/fs/cgroup")
    for place in ("system.slice", "systemd/system.slice", "unified/system.slice"):
        try:
            if (root / place / UNIT / "cgroup.procs").read_text().strip():
                return True
        except OSError:
            continue
    return False


class _Listener:
    """Read the fetcher's last line and its result, in bounded memory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._rest = descriptor, b""
        self.ended, self.fault, self.last = False, None, ""

    fault: dict[str, Any] | None

    def read(self) -> None:
        """Read the available output, a bounded number of lines at once."""
        for _ in range(64):
            try:
                piece = os.read(self._descriptor, LINE_BYTES)
            except BlockingIOError:
                return
            if not piece:
                return
            *lines, self._rest = (self._rest + piece)[-LINE_BYTES:].split(b"\n")
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
            ended, fault = "end" in said, said.get("end")
        except (ValueError, TypeError, AttributeError, RecursionError):
            self.last = printable(line.decode(errors="replace")) or self.last
            return
        if ended:
            self.ended, self.fault = True, fault if isinstance(fault, dict) else None


def printable(text: str) -> str:
    """Format untrusted text for a message: one line, no control characters, bounded length."""
    return "".join(one if one.isprintable() else " " for one in text).strip()[:WORDS]


def _watch(  # noqa: PLR0917 - one caller
    ctx: Context,
    process: subprocess.Popen[bytes],
    listener: _Listener,
    directory: int,
    cap: int,
    on_bytes: Callable[[int], None],
) -> None:
    """Wait for the fetcher's end; raise if it exceeds a limit."""
    before, since = -1, ctx.clock.monotonic()
    while True:
        written, done = takeover.measure(directory)
        if written > cap:
            raise AgentError(
                "fetcher_exceeded",
                f"The fetcher wrote {gigabytes(written)} where the lock has {gigabytes(cap - SLACK_BYTES)}, "
                "and was stopped.",
                "Check the hub or mirror, delete /var/lib/thor/incoming on the device, then stage again.",
                changed=True,
            )
        on_bytes(done)
        try:
            process.wait(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            listener.read()
        else:
            return
        if done != before:
            before, since = done, ctx.clock.monotonic()
        elif ctx.clock.monotonic() - since > SILENCE_SECONDS:
            raise AgentError(
                "hub_stalled",
                f"No byte arrived for {SILENCE_SECONDS:g} s; the fetcher was stopped.",
                _MEANING["hub_stalled"][1],
                details={"done_bytes": done, "retriable": True},
                changed=done > 0,
            )


def _order(ctx: Context, release: Release, files: Sequence[CheckpointFile]) -> Any:
    """Return the order as an open file in memory, which no other process can name."""
    lock, device = release.document["lock"]["checkpoint"], _settings(ctx)
    endpoint = str(device.get("hub_endpoint") or lock["endpoint"])
    document = {
        "directory": str(ctx.paths.incoming / release.checkpoint_name),
        "endpoint": endpoint,
        "repository": lock["repository"],
        "commit": lock["commit"],
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in files],
        "token": hub_token.for_hub(ctx, endpoint),
        "proxies": _proxies(device),
        "ca": _authority(ctx, device),
        **LIMITS,
    }
    descriptor = os.memfd_create("order", os.MFD_CLOEXEC)
    file = os.fdopen(descriptor, "w+b")
    file.write(json.dumps(document).encode())
    file.flush()
    file.seek(0)
    return file


LIMITS: dict[str, Any] = {}  # fields of ``fetch.Order`` that differ from its defaults


def _settings(ctx: Context) -> dict[str, Any]:
    try:
        device = read_json(ctx.paths.device_json)
    except ValueError as broken:
        raise AgentError(
            "bad_state",
            f"{ctx.paths.device_json} is not JSON: {broken}.",
            "Write it again: `cd playbooks && ansible-playbook site.yml --limit DEVICE`.",
        ) from broken
    if device is not None and not isinstance(device, dict):
        raise AgentError(
            "bad_state",
            f"{ctx.paths.device_json} is not a JSON object.",
            "Write it again: `cd playbooks && ansible-playbook site.yml --limit DEVICE`.",
        )
    return device or {}


def _proxies(device: dict[str, Any]) -> dict[str, str]:
    """Return ``http``, ``https``, ``no`` of the device's settings, else of the agent's environment."""
    if device.get("hub_proxy"):
        proxy = str(device["hub_proxy"])
        return {"http": proxy, "https": proxy, "no": str(device.get("hub_no_proxy") or "")}
    found = {name: os.environ.get(f"{name}_proxy") or "" for name in ("http", "https", "no")}
    found["https"] = found["https"] or os.environ.get("HTTPS_PROXY", "")
    found["no"] = found["no"] or os.environ.get("NO_PROXY", "")
    return {name: value for name, value in found.items() if value}


def _authority(ctx: Context, device: dict[str, Any]) -> str | None:
    path = device.get("hub_ca_file")
    if not path:
        return None
    try:
        return ctx.paths.at(str(path)).read_bytes().decode("ascii", errors="ignore")
    except OSError as unreadable:
        raise AgentError(
            "bad_state",
            f"The certificate of the hub's authority cannot be read: {unreadable}.",
            "Set thor_host_hub_ca to its PEM file, run site.yml, stage again.",
        ) from unreadable


def _error(code: str, reason: str, release: Release, done: int, pause: object = None) -> AgentError:
    known = code in _MEANING
    message, remedy, retriable = _MEANING.get(code, _FAILED)
    said, total = printable(reason), release.document["lock"]["checkpoint"]["total_bytes"]
    details: dict[str, Any] = {
        "reason": said,
        "retriable": retriable,
        "done_bytes": min(done, total),
        "total_bytes": total,
    }
    if isinstance(pause, (int, float)) and not isinstance(pause, bool) and 0 < pause < 10**6:
        details["retry_after_seconds"] = round(pause)
    return AgentError(
        code if known else "fetcher_failed",
        f"{message}: {said}. {gigabytes(min(done, total))} of {gigabytes(total)} of "
        f"{release.checkpoint_name} are on the device.",
        remedy,
        details=details,
        changed=done > 0,
    )
