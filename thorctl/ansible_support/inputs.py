"""Record what Ansible read for an answer, so that it can be cached until one of these inputs changes.

Runs in Ansible's own process. Python's audit events report opened files and listed folders; ``os.stat``,
``os.lstat`` and ``os.access``, which have no event, are wrapped. An answer that depends on more than files (a
program, the network, the time, chance, a vault) is not cached: `Inputs.volatile`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.config.manager import find_ini_config_file
from ansible.parsing.vault import VaultLib
from ansible.plugins.loader import inventory_loader

from thorctl.files.identity import changed_at, identity, presence

# A file changed within this time before it was read may change again with the same modification time: file
# systems have a resolution of up to 2 s (FAT), NFS servers of 1 s.
SETTLED_SECONDS = 2.0
_OUTSIDE = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "pty.spawn")
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.sendto")
# Inventory plugins that read files only; `script` starts a process, which is detected.
_STATIC = frozenset({"host_list", "script", "auto", "yaml", "ini", "toml", "constructed", "generator"})
# Template functions that depend on the time, chance, or another template's text.
_IMPURE = re.compile(r"\b(now|random\w*|shuffle|strftime|password\w*|template\w*)\b")
_NO_FILES = ("/dev/", "/proc/", "/sys/")
_CONSTANT = frozenset({"/dev/null", "/dev/urandom"})


@dataclass
class Inputs:
    """Paths, and their state before they were read.

    Attributes:
        content: opened files and listed folders -> identity.
        presence: other paths -> kind, mode and owner, or absent.
        volatile: why the answer cannot be cached; '': it can.
    """

    content: dict[str, str] = field(default_factory=dict)
    presence: dict[str, str] = field(default_factory=dict)
    volatile: str = ""

    def as_json(self) -> dict[str, dict[str, str]] | None:
        """Return both for the cache; None: the answer must not be cached."""
        newest = time.time() - SETTLED_SECONDS
        if self.volatile or any(changed_at(path) > newest for path in self.content):
            return None
        return {"content": self.content, "presence": self.presence}

    def read(self, path: str) -> None:
        """Record a file before it is opened, or a folder before it is listed."""
        if path not in self.content and (named := _named(path)):
            self.content.setdefault(named, identity(named))

    def asked(self, path: str) -> None:
        """Record a path before it is looked up."""
        if path not in self.presence and (named := _named(path)):
            self.presence.setdefault(named, presence(named))

    def impure(self, value: Any) -> None:
        """Record templates in a variable's value that depend on more than variables."""
        if isinstance(value, str):
            if ("{{" in value or "{%" in value) and (found := _IMPURE.search(value)):
                self.volatile = f"a template uses {found[0]}"
        elif isinstance(value, Mapping):
            for one in value.values():
                self.impure(one)
        elif isinstance(value, (list, tuple)):
            for one in value:
                self.impure(one)


def _installed() -> tuple[str, ...]:
    """Return the folders of installed packages: an installation changes the folder itself."""
    paths = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({os.path.join(paths[name], "") for name in names})  # noqa: PTH118 - ends with a slash


_INSTALLED = _installed()
_OWN = f"{constants.DEFAULT_LOCAL_TMP}/"  # this process's own folder


def _named(path: str) -> str | None:
    """Return the absolute path that the answer depends on; None if it does not."""
    path = os.path.abspath(path)  # noqa: PTH100 - as Ansible forms it: `..` is not followed
    if path.startswith(_INSTALLED) or f"{path}/".startswith(_OWN):
        return None
    if path.endswith(".pyc"):  # Python wrote it from the source
        try:
            return importlib.util.source_from_cache(path)
        except ValueError:
            return path
    return path


def watch() -> Inputs:
    """Record everything that this process reads from now on."""
    inputs = Inputs()

    def event(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open":
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes)) else ""
            if path.startswith(_NO_FILES) and path not in _CONSTANT:
                inputs.volatile = path  # a terminal, for a password prompt, or a pipe
            elif path and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
                inputs.read(path)
        elif name in {"os.listdir", "os.scandir"}:
            inputs.read(os.fsdecode(arguments[0] if isinstance(arguments[0], (str, bytes)) else "."))
        elif name.startswith(_OUTSIDE + _NETWORK):
            inputs.volatile = name

    def noting(call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(path: Any, *words: Any, **more: Any) -> Any:
            if not isinstance(path, int):
                inputs.asked(os.fsdecode(path))
            return call(path, *words, **more)

        return noted

    sys.addaudithook(event)
    os.stat, os.lstat, os.access = noting(os.stat), noting(os.lstat), noting(os.access)
    _note_settings(inputs)
    _note_plugins(inputs)
    _note_vaults(inputs)
    return inputs


def _note_settings(inputs: Inputs) -> None:
    """Record what was read before: Ansible's configuration, this code."""
    find_ini_config_file()
    for path in (constants.CONFIG_FILE, __file__, Path(__file__).with_name("listing.py")):
        if path:
            inputs.read(os.fspath(path))
    inputs.content |= {folder: identity(folder) for folder in _INSTALLED}
    if constants.CACHE_PLUGIN != "memory":
        inputs.volatile = "facts are kept elsewhere"
    if [*constants.VARIABLE_PLUGINS_ENABLED] != ["host_group_vars"]:
        inputs.volatile = "another plugin gives variables"


def _note_plugins(inputs: Inputs) -> None:
    get = inventory_loader.get

    def noted(name: str, *words: Any, **more: Any) -> Any:
        if name.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.") not in _STATIC:
            inputs.volatile = f"the inventory plugin {name}"
        return get(name, *words, **more)

    inventory_loader.get = noted


def _note_vaults(inputs: Inputs) -> None:
    """Mark the answer as volatile at the first decryption: it is not written to another file."""
    decrypt = VaultLib.decrypt_and_get_vault_id

    def noted(vault: Any, text: Any) -> Any:
        inputs.volatile = "a vault"
        return decrypt(vault, text)

    VaultLib.decrypt_and_get_vault_id = noted
