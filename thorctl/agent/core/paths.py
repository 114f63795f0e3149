"""All paths on a device, below a configurable root (`--root`; a temporary one in tests)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.protocol import paths
from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from pathlib import Path

ENGINE_UNIT = "thor-engine.service"
ENGINE_CONTAINER = "thor-engine"


@dataclass(frozen=True)
class Paths:
    """Paths on a device (docs/reference/interfaces.md "Paths"). ``root`` is ``/`` on a device."""

    root: Path

    def at(self, absolute: str) -> Path:
        """Return an absolute path of the device below the root: ``at("/etc/os-release")``."""
        return self.root / absolute.lstrip("/")

    @property
    def agent_words(self) -> list[str]:
        """The agent's command up to its verb, for units on this device."""
        root = [] if self.root == self.root.parent else ["--root", str(self.root)]
        return [str(self.at(paths.AGENT)), *root]

    @property
    def device_json(self) -> Path:
        """Class, site, name of this device; written by Ansible."""
        return self.at(f"{paths.SETTINGS}/device.json")

    @property
    def state_dir(self) -> Path:
        """Everything that outlives a reboot."""
        return self.at(paths.STATE)

    @property
    def releases(self) -> Path:
        """One directory per staged release."""
        return self.state_dir / "releases"

    @property
    def checkpoints(self) -> Path:
        """One directory per checkpoint commit, shared by releases."""
        return self.state_dir / "checkpoints"

    @property
    def incoming(self) -> Path:
        """Unfinished downloads; the download account's own. Not read from here."""
        return self.state_dir / "incoming"

    @property
    def verified(self) -> Path:
        """Hashed files, one record per checkpoint; root's own."""
        return self.state_dir / "verified"

    @property
    def cache(self) -> Path:
        """Compile caches of the engine; they outlive restarts and releases."""
        return self.state_dir / "cache"

    @property
    def engine_cache(self) -> Path:
        """One directory per set of code that can write to it (engine/cache.py)."""
        return self.cache / paths.ENGINE_NAME

    @property
    def cache_is_own(self) -> Path:
        """Marker: no engine has been able to write to the cache of another release."""
        return self.state_dir / "cache-is-own"

    @property
    def ready_marks(self) -> Path:
        """Markers of releases that were ready once, below the name of their cache."""
        return self.state_dir / "ready"

    @property
    def engine_settings(self) -> Path:
        """The environment of the engine's unit, written before the container starts."""
        return self.locks / f"engine-{paths.ENGINE_NAME}.env"

    @property
    def engine_end(self) -> Path:
        """systemd's record of how the engine's last run ended."""
        return self.locks / f"engine-{paths.ENGINE_NAME}.end"

    @property
    def journal(self) -> Path:
        """The state: current, previous, target, deadline."""
        return self.state_dir / "state.json"

    @property
    def journal_reserve(self) -> Path:
        """Disk space reserved for the journal."""
        return self.state_dir / "ballast"

    @property
    def unit_reserve(self) -> Path:
        """Disk space reserved for the engine's unit."""
        return self.at(f"{paths.SETTINGS}/ballast")

    @property
    def staged_json(self) -> Path:
        """The order in which releases were staged, and the age of unfinished downloads."""
        return self.state_dir / "staged.json"

    @property
    def pulling(self) -> Path:
        """Images whose pull has begun, and the boot in which it did."""
        return self.state_dir / "pulling.json"

    @property
    def events(self) -> Path:
        """The event log: JSON lines of limited size."""
        return self.state_dir / "events.jsonl"

    @property
    def syslog(self) -> Path:
        """The system log's socket, journald's or rsyslog's."""
        return self.at("/dev/log")

    @property
    def smoke_json(self) -> Path:
        """The result of the last smoke test."""
        return self.state_dir / "smoke.json"

    @property
    def run_dir(self) -> Path:
        """Everything that a reboot clears (a tmpfs)."""
        return self.at(paths.RUN)

    @property
    def locks(self) -> Path:
        """Locks; root's alone, since any process that can open a file can lock it."""
        return self.run_dir / "private"

    @property
    def jobs(self) -> Path:
        """One directory per detached verb: its request and its answer."""
        return self.locks / "jobs"

    @property
    def agent_copies(self) -> Path:
        """Copies of the agent that detached verbs run; the download account reads them too."""
        return self.run_dir / "agents"

    @property
    def progress_json(self) -> Path:
        """The progress of the verb that runs; absent if none does."""
        return self.run_dir / "progress.json"

    @property
    def soak_json(self) -> Path:
        """The record of the trial's soak."""
        return self.locks / "soak.json"

    @property
    def lease_json(self) -> Path:
        """One operator's right to change this device."""
        return self.run_dir / "lease"

    @property
    def hold_json(self) -> Path:
        """The device's own veto."""
        return self.run_dir / "hold"

    @property
    def engine_unit(self) -> Path:
        """The installed unit: a byte copy of the current release's file."""
        return self.at("/etc/systemd/system") / ENGINE_UNIT

    def release_dir(self, release_id: str) -> Path:
        """Return the directory of a staged release."""
        return self.releases / release_id
