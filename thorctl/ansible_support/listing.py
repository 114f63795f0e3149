"""``ansible-inventory --list`` with each host's effective connection, templates and vaults resolved.

Run as ``python -m thorctl.ansible_support.listing -i INVENTORY --list``: one process for a fleet. A host's
entry in ``_meta.hostvars`` holds

``variables``
    those of ``VARIABLES`` that it has;
``connection``, ``become_method``
    the names of the plugins;
``ssh``, ``sudo``
    the options of these plugins from variables (old names too), environment and ansible.cfg;
``origins``
    where ``timeout`` of ``ssh`` comes from;
``faults``
    variable -> why it has no value, such as a vault without its password;
``sealed``
    those of ``SECRETS`` that have no value.

For a host whose variables cannot be read at all, such as from a vaulted file, it has ``unread`` alone: the
reason. ``_meta.inputs`` holds the inputs of the answer (`inputs.Inputs.as_json`).

The answer goes to stdout directly, not through Ansible's display, which writes a log: it has passwords.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from ansible import constants
from ansible.cli import CLI
from ansible.cli.inventory import InventoryCLI
from ansible.errors import AnsibleError
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars

from thorctl.ansible_support import inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible.inventory.host import Host

VARIABLES = (
    "thor_known_hosts_file",
    "thor_site",
    "thor_device_class",
    "thor_profile",
    "thor_edge_names",
    "thor_preflight_skip",
    "thor_smoke_keep_failed_trial",
    "thor_artifacts_timeout_seconds",
    "thor_deploy",
    "inventory_file",
)
# Options of the ssh plugin that reach ssh, and ones that thorctl does not support.
SSH = (
    *("host", "port", "remote_user", "private_key_file", "private_key", "password", "timeout"),
    *("ssh_executable", "ssh_args", "ssh_common_args", "ssh_extra_args"),
)
# Read by playbooks only, which then need the vault's password.
SECRETS = ("thor_hub_token", "thor_registry_logins", "thor_edge_keys", "thor_edge_engine_key")
MAGIC = frozenset({"hostvars", "groups", "vars"})  # Ansible's own; they refer to all hosts
PLUGINS = (("connection", "ssh"), ("become", "sudo"))


class Listing(InventoryCLI):  # type: ignore[misc]  # Ansible has no types
    """The listing with extended host entries."""

    def run(self) -> None:
        """Print the listing as JSON."""
        CLI.run(self)
        self._inputs = inputs.watch()
        self.loader, self.inventory, self.vm = self._play_prereqs()
        HostVars(inventory=self.inventory, variable_manager=self.vm, loader=self.loader)  # registers itself
        for loader, name in ((connection_loader, "ssh"), (become_loader, "sudo")):
            loader.get(name, class_only=True)  # registers its options
        self._passwords = {
            "ssh": _from_file(constants.CONNECTION_PASSWORD_FILE),
            "sudo": _from_file(constants.BECOME_PASSWORD_FILE),
        }
        found = self.json_inventory(self._get_group("all"))
        found["_meta"]["inputs"] = self._inputs.as_json()
        json.dump(found, sys.stdout)

    def _get_host_variables(self, host: Host) -> dict[str, Any]:
        try:
            raw = self.vm.get_vars(host=host, include_hostvars=True, stage="all")
        except AnsibleError as error:
            return {"unread": str(error)}
        self._inputs.impure({name: value for name, value in raw.items() if name not in MAGIC})
        templar, faults = Templar(loader=self.loader, variables=raw), {}
        names = {name for kind, plugin in PLUGINS for name in constants.config.get_plugin_vars(kind, plugin)}
        filled = {}
        for name in sorted(
            names.union(VARIABLES, ("ansible_connection", "ansible_become_method")) & raw.keys()
        ):
            try:
                filled[name] = _plain(templar.template(raw[name]))
            except AnsibleError as error:
                faults[name] = str(error)
        sealed, kept_back = [], self._inputs.volatile
        for name in sorted(raw.keys() & {*SECRETS}):
            try:
                _plain(templar.template(raw[name]))
            except AnsibleError:
                sealed.append(name)
        self._inputs.volatile = kept_back  # the answer only has whether they can be decrypted
        ssh: dict[str, Any] = {}
        sudo: dict[str, Any] = {}
        origins: dict[str, str] = {}
        try:
            ssh, origins = _options("connection", "ssh", filled)
            sudo, _ = _options("become", "sudo", filled)
        except AnsibleError as error:  # a port that is not a number
            faults["a connection variable"] = str(error)
        ssh["password"] = ssh.get("password") or self._passwords["ssh"]
        sudo["become_pass"] = sudo.get("become_pass") or self._passwords["sudo"]
        if ssh["password"] or sudo["become_pass"] or ssh.get("private_key"):
            self._inputs.volatile = "a password"
        return {
            "variables": {name: filled[name] for name in VARIABLES if name in filled},
            "connection": filled.get("ansible_connection") or constants.DEFAULT_TRANSPORT,
            "become_method": filled.get("ansible_become_method") or constants.DEFAULT_BECOME_METHOD,
            "ssh": {key: ssh.get(key) for key in SSH},
            "sudo": sudo,
            "origins": {"timeout": origins.get("timeout", "")},
            "faults": faults,
            "sealed": sealed,
        }


def _options(kind: str, plugin: str, variables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a plugin's effective options, and their origins."""
    found, origins = constants.config.get_plugin_options_and_origins(kind, plugin, variables=dict(variables))
    return {key: _plain(value) for key, value in found.items()}, {
        key: str(origin) for key, origin in origins.items()
    }


def _from_file(path: str | None) -> str | None:
    return _plain(CLI.get_password_from_file(path)) if path else None


def _plain(value: Any) -> Any:
    """Return ``value`` without Ansible's tags: a vaulted text would be written encrypted."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return "".join(tuple(value))
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value)


if __name__ == "__main__":
    Listing.cli_executor(["ansible-inventory", *sys.argv[1:]])
