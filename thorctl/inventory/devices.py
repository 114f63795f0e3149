"""The fleet's devices, from the Ansible inventory. There is no second list of devices."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorctl import shipped
from thorctl.ansible_support import environment as ansible_environment
from thorctl.errors import ThorError
from thorctl.inventory import kept_listing
from thorctl.inventory.pattern import matching

if TYPE_CHECKING:
    from collections.abc import Mapping

# The group of all devices (docs/reference/interfaces.md). Seeds and proxies are not in it.
GROUP = "thor"
EXAMPLE = "example"  # the shipped folder of playbooks/inventory
# Required entries of an inventory folder; a folder with only examples has none of them.
INVENTORY_FILES = ("hosts.yml", "hosts.yaml", "hosts.ini", "hosts")
# Ansible's plugins whose behaviour thorctl reproduces.
CONNECTIONS = frozenset({"ssh", "smart", "ansible.builtin.ssh", "ansible.legacy.ssh"})
BECOME_METHODS = frozenset({"sudo", "ansible.builtin.sudo", "ansible.legacy.sudo"})
BECOME_PASSWORDS = frozenset(
    {"ansible_become_password", "ansible_become_pass", "ansible_sudo_pass", "ansible_sudo_password"}
)
LONGEST_STAGE_SECONDS = 7 * 86400  # 24 GB at 40 kB/s
LONGEST_REVIEW_SECONDS = 7 * 86400  # the agent's limit, and that of the role thor_smoke
DEPLOY = "thor_deploy"  # may be unknown outside playbooks, for example if it uses playbook_dir
_OURS = frozenset({"-H", "-S", "-n"})  # flags of sudo that thorctl sets itself
_KNOWN_FLAGS = frozenset({"-E", "-i", "--login", "--preserve-env"})  # flags without an effect for thorctl
_UNPARSED = re.compile(r"parse inventory source '?([^'\n]+?)'?(?:[.:]?\s*$|\. )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Become:
    """How a login that is not root becomes root.

    Attributes:
        program, flags: of sudo.
        password: None: sudo must not ask for one.
        not_followed: a setting of Ansible that thorctl does not support; only root can then be used.
        fault: why the inventory's password cannot be read.
    """

    program: str = "sudo"
    flags: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    not_followed: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """One device: its connection, its groups, its release.

    Attributes:
        host, port, user, key, connect_timeout: Ansible's values for ssh; None: ssh's configuration decides.
        known_hosts: used if the ssh arguments have no UserKnownHostsFile.
        ssh_args_before, ssh_args: ssh's arguments before and after the others: Ansible's ssh_args;
            ssh_common_args and ssh_extra_args.
        not_followed: a setting of Ansible that thorctl does not support; the device is then refused.
        unread: why its variables cannot be read, such as a vaulted file; it is then refused.
        sealed: secrets of the playbooks that cannot be decrypted here.
        edge_names: further names for its certificate.
        preflight_skip: checks whose failure is only a warning.
        deploy: the folder that site.yml renders its release from; None: the project's own.
        keep_failed_seconds: length of the review of a first release that fails its smoke test; 0: none.
        stage_seconds: time limit of staging; 0: that of the verb.
    """

    name: str
    host: str
    port: int | None = None
    user: str | None = None
    key: Path | None = None
    known_hosts: Path | None = None
    ssh_args: str = ""
    site: str | None = None
    device_class: str | None = None
    profile: str | None = None
    groups: tuple[str, ...] = ()
    edge_names: tuple[str, ...] = ()
    preflight_skip: tuple[str, ...] = ()
    keep_failed_seconds: int = 0
    stage_seconds: int = 0
    deploy: str | None = None
    ssh_args_before: str = ""
    ssh_program: str = "ssh"
    connect_timeout: int | None = None
    password: str | None = field(default=None, repr=False)
    become: Become = Become()
    not_followed: str = ""
    unread: ThorError | None = None
    sealed: tuple[str, ...] = ()


def find_inventory(chosen: Path | None, project: Path, simulation: Path | None = None) -> Path:
    """Return the inventory: the chosen one, else the project's, else the running simulation's.

    Raises:
        ThorError: ``inventory_missing``.
    """
    if chosen is not None:
        if chosen.exists():
            return chosen
        raise ThorError(
            "inventory_missing",
            f"There is no inventory {chosen}.",
            "Name an existing one with -i or THORCTL_INVENTORY, or leave both out for the project's own.",
        )
    for folder in (project / "inventory", project / "playbooks" / "inventory"):
        if any((folder / name).is_file() for name in INVENTORY_FILES):
            return folder
    if simulation is not None and simulation.is_file():
        return simulation
    raise ThorError(
        "inventory_missing",
        f"No devices are known: {project / 'inventory'} has no hosts.yml, and no simulation is running.",
        "Write inventory/hosts.yml (`thorctl init` writes a template), name one with -i, "
        "or start simulated devices: `thorctl sim up`.",
    )


def load(inventory: Path, limit: str | None = None, config: Path | None = None) -> list[Device]:
    """Return the devices of an inventory in its order, selected by an Ansible ``--limit`` pattern.

    Args:
        inventory: file or folder.
        limit: such as ``thor-0*``, ``lab``, ``thor-01,thor-02``, ``all,!thor-03``; None = all.
        config: the ``ansible.cfg`` to use, as in the playbooks.

    Raises:
        ThorError: ``inventory_invalid``, ``inventory_empty``, ``device_unknown``, ``pattern_invalid``; as
            ``ansible_environment.explain`` if the variables of no device can be read.
    """
    listing = read(inventory, config)
    groups = members(listing)
    if not groups.get(GROUP):
        raise ThorError(
            "inventory_empty",
            f"{inventory} has no device: the group {GROUP!r} is empty or missing.",
            f"Put every device into the group {GROUP!r}, as in the file that `thorctl init` writes.",
        )
    names = matching(limit, groups, GROUP) if limit else groups[GROUP]
    hostvars: Mapping[str, Mapping[str, Any]] = listing["_meta"]["hostvars"]
    unread = {
        name: ansible_environment.explain(inventory, why) or _unreadable(inventory, why)
        for name in groups[GROUP]
        if (why := hostvars[name].get("unread"))
    }
    _refuse_example(inventory, {name: hostvars[name] for name in groups[GROUP] if name not in unread})
    if names and all(name in unread for name in names):
        raise unread[names[0]]
    return [
        Device(name, name, groups=_groups_of(name, groups), unread=unread[name])
        if name in unread
        else device(name, hostvars[name], groups)
        for name in names
    ]


def _groups_of(name: str, groups: Mapping[str, list[str]]) -> tuple[str, ...]:
    return tuple(sorted(group for group, hosts in groups.items() if name in hosts and group != "all"))


def _refuse_example(inventory: Path, hostvars: Mapping[str, Mapping[str, Any]]) -> None:
    """Reject the shipped example, which our own ansible.cfg ignores and another one may not."""
    folder = inventory.absolute()
    for name, raw in hostvars.items():
        file = Path(str(raw["variables"].get("inventory_file")))
        if file.parent.name == EXAMPLE and folder in file.parent.parents:
            raise ThorError(
                "inventory_invalid",
                f"{inventory} includes the shipped example {file} with its fictitious devices: {name}.",
                f"Move {file.parent} away, or add ^{EXAMPLE}$ to ignore_patterns in [inventory] of "
                "ansible.cfg.",
            )


def read(inventory: Path, config: Path | None = None) -> dict[str, Any]:
    """Return the answer of Ansible, or a cached one for unchanged files; see ``ansible_support.listing``."""
    # By default Ansible ignores a file it cannot parse, which would hide devices.
    environment = {
        **ansible_environment.clean(),
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
    }
    if config is not None and config.is_file():
        environment.setdefault("ANSIBLE_CONFIG", str(config))
    # -P: nothing in the working directory can replace Ansible's modules.
    program = [sys.executable, "-P", "-m", "thorctl.ansible_support.listing"]
    command = [*program, "-i", str(inventory.absolute()), "--list"]
    file = kept_listing.place(command, environment)
    if kept := kept_listing.find(file):
        return kept
    run = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise ansible_environment.explain(inventory, run.stderr) or _unreadable(inventory, run.stderr)
    try:
        listing: dict[str, Any] = json.loads(run.stdout)
    except ValueError as error:
        raise ThorError(
            "inventory_invalid",
            f"{inventory}: the output of ansible-inventory is not JSON: {' '.join(run.stdout[:200].split())}",
            f"Find the inventory script or plugin with extra output, with `ansible-inventory -i {inventory} "
            "--list`, and make it quiet.",
        ) from error
    kept_listing.keep(file, listing)
    return listing


def members(listing: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return group -> its hosts in the inventory's order, those of child groups included."""

    def hosts(group: str) -> list[str]:
        entry = listing.get(group, {})
        found = list(entry.get("hosts", []))
        for child in entry.get("children", []):
            found += hosts(child)
        return list(dict.fromkeys(found))

    children = {
        child for key, entry in listing.items() if key != "_meta" for child in entry.get("children", [])
    }
    return {group: hosts(group) for group in ({*listing} | children) - {"_meta"}}


def _unreadable(inventory: Path, stderr: str) -> ThorError:
    if "No module named 'ansible" in stderr:
        return ThorError(
            "ansible_missing",
            "Ansible is not installed in thorctl's environment.",
            f"Set it up again: `{shipped.set_up()}`.",
        )
    if "Traceback (most recent call last)" in stderr:  # an invalid setting
        stderr = stderr.strip().splitlines()[-1]
    file = _UNPARSED.search(stderr)
    # A folder's error names the file in it that failed.
    if file and inventory.is_dir() and Path(file[1]) != inventory.absolute():
        return ThorError(
            "inventory_invalid",
            f"{inventory} cannot be read: Ansible reads {file[1]} as an inventory, which it is not.",
            f"Correct {file[1]}, or move it out of the folder; for files that have to stay there, set "
            "ignore_patterns in [inventory] of ansible.cfg.",
        )
    return ThorError(
        "inventory_invalid",
        f"{inventory} cannot be read: {' '.join(stderr.split())}",
        f"Correct it, then check with `ansible-inventory -i {inventory} --list`.",
    )


def device(name: str, raw: Mapping[str, Any], groups: Mapping[str, list[str]]) -> Device:
    """Return one device from Ansible's variables.

    Raises:
        ThorError: ``inventory_invalid``.
    """
    values = _Values(name, raw)
    ssh = partial(values.text, "ssh")
    thor = partial(values.text, "variables")
    port, known_hosts, key = ssh("port"), thor("thor_known_hosts_file"), ssh("private_key_file")
    after = [ssh("ssh_common_args"), ssh("ssh_extra_args")]
    # Ansible's default time-out is not used: verbs have limits of their own.
    timeout = ssh("timeout") if raw["origins"].get("timeout", "").startswith("var:") else None
    return Device(
        name=name,
        host=ssh("host") or name,
        port=int(port) if port else None,
        user=ssh("remote_user"),
        key=Path(key).expanduser() if key else None,
        known_hosts=Path(known_hosts).expanduser() if known_hosts else None,
        ssh_args=" ".join(part for part in after if part),
        site=thor("thor_site"),
        device_class=thor("thor_device_class"),
        profile=thor("thor_profile"),
        groups=_groups_of(name, groups),
        edge_names=values.words("thor_edge_names"),
        preflight_skip=values.words("thor_preflight_skip"),
        deploy=thor(DEPLOY) or values.unfilled(DEPLOY),
        keep_failed_seconds=values.seconds("thor_smoke_keep_failed_trial", LONGEST_REVIEW_SECONDS),
        stage_seconds=values.seconds("thor_artifacts_timeout_seconds", LONGEST_STAGE_SECONDS),
        ssh_args_before=ssh("ssh_args") or "",
        ssh_program=ssh("ssh_executable") or "ssh",
        connect_timeout=int(timeout) if timeout else None,
        password=ssh("password"),
        become=Become(
            program=values.text("sudo", "become_exe") or "sudo",
            flags=tuple(
                flag for flag in shlex.split(values.text("sudo", "become_flags") or "") if flag not in _OURS
            ),
            password=values.text("sudo", "become_pass"),
            not_followed=_become_not_followed(raw["become_method"], raw["sudo"]),
            fault="; ".join(f"{one}: {why}" for one, why in raw["faults"].items() if one in BECOME_PASSWORDS),
        ),
        not_followed=_not_followed(raw),
        sealed=tuple(raw["sealed"]),
    )


def _not_followed(raw: Mapping[str, Any]) -> str:
    """Return the setting of Ansible's connection that thorctl does not support; '' if there is none."""
    if raw["connection"] not in CONNECTIONS:
        return f"ansible_connection: {raw['connection']}"
    return "ansible_private_key, a key as text," if raw["ssh"].get("private_key") else ""


def _become_not_followed(method: str, sudo: Mapping[str, Any]) -> str:
    """Return the unsupported setting of Ansible's privilege escalation; '' if there is none."""
    found = {
        f"ansible_become_method: {method}": method not in BECOME_METHODS,
        f"ansible_become_user: {sudo.get('become_user')}": sudo.get("become_user") not in {"root", "", None},
        f"ansible_become_flags: {sudo.get('become_flags')}": not {
            *shlex.split(sudo.get("become_flags") or "")
        }
        <= _OURS | _KNOWN_FLAGS,
    }
    return next((words for words, is_so in found.items() if is_so), "")


@dataclass(frozen=True, slots=True)
class _Values:
    """Typed access to Ansible's variables of the host ``name``."""

    name: str
    raw: Mapping[str, Any]

    def __post_init__(self) -> None:
        for variable, why in self.raw["faults"].items():
            if variable not in BECOME_PASSWORDS | {DEPLOY}:
                raise self._error(variable, f"cannot be filled in: {' '.join(why.split())}")

    def text(self, part: str, key: str) -> str | None:
        """Return the value as text; None if it is absent or empty."""
        value = self.raw[part].get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, (str, int, float)):
            raise self._error(key, f"is {value!r}, not text")
        return str(value)

    def unfilled(self, key: str) -> str | None:
        """Return why a variable is known to playbooks only; None if it is absent or known."""
        why = self.raw["faults"].get(key)
        return f"which cannot be filled in here ({' '.join(why.split())})" if why else None

    def seconds(self, key: str, most: int) -> int:
        """Return the variable as whole seconds from 0 to ``most``; 0 if absent."""
        value = self.raw["variables"].get(key)
        text = "0" if value is None else str(value)
        if not (text.isascii() and text.isdigit() and int(text) <= most):
            raise self._error(key, f"is {value!r}, not whole seconds from 0 to {most}")
        return int(text)

    def words(self, key: str) -> tuple[str, ...]:
        """Return the variable as a list of words: a list, or one text with commas."""
        value = self.raw["variables"].get(key)
        items = value if isinstance(value, list) else str(value or "").split(",")
        return tuple(str(item).strip() for item in items if item is not None and str(item).strip())

    def _error(self, key: str, problem: str) -> ThorError:
        return ThorError(
            "inventory_invalid",
            f"{key} {problem}.",
            f"Correct {key} in the inventory; `ansible -m debug -a var={key} {self.name}` shows its value.",
            device=self.name,
        )
