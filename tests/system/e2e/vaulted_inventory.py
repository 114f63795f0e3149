"""Make an inventory with vaulted secrets by the commands of docs/how-to/edge.md and secrets.md."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.playbooks.playbook_run import playbook
from tests.system.e2e.site_world import PROFILE, THORCTL

if TYPE_CHECKING:
    from tests.playbooks.playbook_run import PlaybookRun
    from tests.system.e2e.site_world import World

VAULT = Path(sys.executable).parent / "ansible-vault"
REGISTRY = "registry.thorctl.test:5000"


@dataclass
class VaultedInventory:
    """``hosts.yml`` of the simulation, and group_vars with secrets; ``plain`` is what they say."""

    world: World
    folder: Path
    plain: dict[str, str]

    @property
    def hosts(self) -> Path:
        return self.folder / "inventory" / "hosts.yml"

    @property
    def password_file(self) -> Path:
        return self.folder / "vault-password"

    @property
    def made_at(self) -> float:
        """When the first secret was made, seconds since the epoch, by this machine's file system."""
        return self.password_file.stat().st_mtime

    @property
    def authority(self) -> Path:
        return self.folder / "pki" / "ca.crt"

    def thorctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``thorctl WORDS`` on this inventory; it has to succeed."""
        done = subprocess.run(
            [str(THORCTL), "--project", str(self.world.project), "-i", str(self.hosts), *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def playbook(self, name: str, *options: str) -> PlaybookRun:
        """Runs ``<name>.yml`` on the world's device, as loud as it can be."""
        return playbook(
            *("-vvv", "-i", str(self.hosts), "--limit", self.world.device, f"{name}.yml"),
            *("-e", f"thor_deploy={self.world.project / 'deploy'}", "-e", f"thor_profile={PROFILE}"),
            *("--vault-password-file", str(self.password_file), *options),
        )

    def vault(self, name: str, value: str) -> str:
        """``NAME: !vault …`` as ansible-vault writes it, the value through its standard input."""
        return subprocess.run(
            [
                *(str(VAULT), "encrypt_string", "--vault-password-file", str(self.password_file)),
                *("--stdin-name", name),
            ],
            input=value,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def new_key(self, name: str) -> str:
        """Has ``thorctl edge keys new`` make a key; its entry for thor_edge_keys."""
        words = ("--json", "edge", "keys", "new", name, "--vault-password-file", str(self.password_file))
        data = json.loads(self.thorctl(*words).stdout)["data"]
        self.plain[f"key of {name}"] = data["key"]
        return str(data["vaulted"])

    def give_keys(self, entries: list[str]) -> None:
        """What thor_edge_keys holds from now on."""
        lines = [f"  {line}" for entry in entries for line in entry.splitlines()]
        self.variables("edge.yml", "\n".join(["thor_edge_keys:", *lines]))

    def variables(self, name: str, text: str) -> None:
        """One file of variables for all devices."""
        path = self.folder / "inventory" / "group_vars" / "thor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def make(world: World, folder: Path) -> VaultedInventory:
    """Every kind of secret, each of them fresh; this hub and this registry ask for none."""
    one = VaultedInventory(world, folder, {})
    one.hosts.parent.mkdir(parents=True)
    shutil.copy(world.sim.simulation.inventory, one.hosts)
    one.password_file.touch(mode=0o600)
    one.password_file.write_text(secrets.token_hex())
    one.plain |= {
        "vault password": one.password_file.read_text(),
        "hub token": f"hf_{secrets.token_hex()}",
        "registry password": f"p-{secrets.token_hex()}",
        "engine's key": f"engine-{secrets.token_hex()}",
    }
    login = {REGISTRY: {"username": "thor", "password": one.plain["registry password"]}}
    parts = [
        one.vault("thor_hub_token", one.plain["hub token"]),
        one.vault("login", json.dumps(login)),
        one.vault("thor_edge_engine_key", one.plain["engine's key"]),
        'thor_registry_logins: "{{ login | from_json }}"',
    ]
    one.variables("secrets.yml", "\n".join(parts))
    one.thorctl("edge", "ca", "init", "--no-passphrase")
    one.thorctl("edge", "cert", world.device)
    for path in (folder / "pki").rglob("*.key"):
        one.plain[f"private key {path.name}"] = path.read_text().splitlines()[2]
    return one
