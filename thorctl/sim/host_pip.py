"""The host's pip settings, for installing wheels during a build; an image contains none of them."""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The sources of packages and the connection to them; the target is the build's.
PASSED_ON = (
    "index-url", "extra-index-url", "find-links", "no-index",
    "trusted-host", "proxy", "default-timeout", "timeout", "retries",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PipSettings:
    """PIP_* variables, and the host folders that they name, to be mounted at the same path."""

    environment: dict[str, str] = field(default_factory=dict)
    binds: tuple[str, ...] = ()


def config_files(environment: Mapping[str, str], home: Path) -> list[Path]:
    """Return pip's configuration files, the later overriding (pip's documentation, Configuration)."""
    chosen = environment.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    system = [Path(d) / "pip" / "pip.conf" for d in environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [*system, Path("/etc/pip.conf"), home / ".pip" / "pip.conf", user / "pip" / "pip.conf"]
    return [*files, Path(chosen)] if chosen else files


def read(environment: Mapping[str, str] | None = None, home: Path | None = None) -> PipSettings:
    """Return the settings of ``pip install`` on this host: its files, then PIP_* variables."""
    env = os.environ if environment is None else environment
    values: dict[str, str] = {}
    for file in config_files(env, home or Path.home()):
        if file.is_file():
            values |= parse(file.read_text())
    values |= {key: env[name] for key in PASSED_ON if (name := _variable(key)) in env}
    return PipSettings({_variable(key): value for key, value in values.items()}, tuple(_folders(values)))


def parse(text: str) -> dict[str, str]:
    """Return the used options of one configuration file; ``[install]`` overrides ``[global]``."""
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    values: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            options = {key.lower().replace("_", "-"): value for key, value in parser.items(section)}
            values |= {key: " ".join(options[key].split()) for key in PASSED_ON if key in options}
    return values


def _variable(key: str) -> str:
    return "PIP_" + key.upper().replace("-", "_")


def _folders(values: Mapping[str, str]) -> Iterable[str]:
    found: dict[str, None] = {}
    for key in ("index-url", "extra-index-url", "find-links"):
        for word in values.get(key, "").split():
            local = _local_path(word)
            if local is None:
                continue
            # Pages of an index refer to files beside it (../../files/…), so pip reads its parent.
            folder = local.parent if key != "find-links" and local.parent != Path("/") else local
            if folder.exists():
                found[str(folder if folder.is_dir() else folder.parent)] = None
    return found


def _local_path(word: str) -> Path | None:
    if word.startswith("file:"):
        return Path(unquote(urlsplit(word).path))
    return Path(word) if word.startswith("/") else None
