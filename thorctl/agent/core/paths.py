"""Where everything lies on a device, below an injectable root (`--root`; a temporary one in tests)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.protocol import paths

if TYPE_CHECKING:
    from pathlib import Path

ENGINE_UNIT = "thor-engine.service"
ENGINE_CONTAINER = "thor-engine"


@dataclass(frozen=True)
class Paths:
    """Paths on a device (docs/reference/interfaces.md "Paths"). ``root`` is ``/`` on a device."""

    root: Path

    def at(self, absolute: str) -> Path:
        """An absolute path of the device, below the root: ``at("/etc/os-release")``."""
        return self.root / absolute.lstrip("/")

    @property
    def agent_words(self) -> list[str]:
        """The agent's command up to its verb, for units that call it on this device."""
        root = [] if self.root == self.root.parent else ["--root", str(self.root)]
        return [str(self.at(paths.AGENT)), *root]

    @property
    def device_json(self) -> Path:
        """Class, site, name of this device; written by Ansible."""
        return self.at(f"{paths.SETTINGS}/device.json")

    @property
    def state_dir(self) -> Path:
        """All that survives a reboot."""
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
        """Unfinished downloads; the download account's own. Nothing is used from here."""
        return self.state_dir / "incoming"

    @property
    def verified(self) -> Path:
        """What was hashed, one record per checkpoint; root's own."""
        return self.state_dir / "verified"

    @property
    def cache(self) -> Path:
        """Compile caches of the engine: survive restarts and releases."""
        return self.state_dir / "cache"

    @property
    def engine_cache(self) -> Path:
        """One directory for each set of code that may put code into it (engine/cache.py)."""
        return self.cache / paths.ENGINE_NAME

    @property
    def cache_is_own(self) -> Path:
        """Exists while no engine could write to the cache of another release."""
        return self.state_dir / "cache-is-own"

    @property
    def ready_marks(self) -> Path:
        """Which releases were ready here once, below the name of their cache."""
        return self.state_dir / "ready"

    @property
    def engine_settings(self) -> Path:
        """What the engine's unit reads before it starts the container."""
        return self.locks / f"engine-{paths.ENGINE_NAME}.env"

    @property
    def engine_end(self) -> Path:
        """How the engine's last run ended, as systemd says it."""
        return self.locks / f"engine-{paths.ENGINE_NAME}.end"

    @property
    def journal(self) -> Path:
        """The state: current, previous, target, deadline."""
        return self.state_dir / "state.json"

    @property
    def ballast(self) -> Path:
        """Disk kept back for the journal."""
        return self.state_dir / "ballast"

    @property
    def unit_ballast(self) -> Path:
        """Disk kept back for the engine's unit."""
        return self.at(f"{paths.SETTINGS}/ballast")

    @property
    def staged_json(self) -> Path:
        """In which order releases were staged, and which downloads are unfinished since when."""
        return self.state_dir / "staged.json"

    @property
    def pulling(self) -> Path:
        """Images whose pull has begun, and in which boot."""
        return self.state_dir / "pulling.json"

    @property
    def events(self) -> Path:
        """Who did what when, JSON lines, size-capped."""
        return self.state_dir / "events.jsonl"

    @property
    def syslog(self) -> Path:
        """Where the system's own log listens: journald's or rsyslog's socket."""
        return self.at("/dev/log")

    @property
    def smoke_json(self) -> Path:
        """The last smoke."""
        return self.state_dir / "smoke.json"

    @property
    def run_dir(self) -> Path:
        """All that a reboot clears (a tmpfs)."""
        return self.at(paths.RUN)

    @property
    def locks(self) -> Path:
        """Locks: root's alone, as who can open a file can lock it."""
        return self.run_dir / "private"

    @property
    def jobs(self) -> Path:
        """One directory per detached verb: its request, and its answer."""
        return self.locks / "jobs"

    @property
    def agent_copies(self) -> Path:
        """Copies of the agent that detached verbs run; the account of downloads reads them too."""
        return self.run_dir / "agents"

    @property
    def progress_json(self) -> Path:
        """What the verb at work has done so far; absent when none works."""
        return self.run_dir / "progress.json"

    @property
    def soak_json(self) -> Path:
        """The soak of the trial: what its process has done and seen."""
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
        """The installed unit: byte copy of the current release's file."""
        return self.at("/etc/systemd/system") / ENGINE_UNIT

    def release_dir(self, release_id: str) -> Path:
        """Where a staged release's files lie."""
        return self.releases / release_id
