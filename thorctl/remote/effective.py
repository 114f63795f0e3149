"""The options that OpenSSH itself would use for a host: the answer of ``ssh -G``.

A process per device and call would cost more than the connection. Answers are kept in the user's cache
directory, filed by the ssh program, by every configuration file that ssh reads (path, inode, modification
time, size, owner and mode) and by the arguments. An answer that may depend on more, such as ``Match exec``,
is kept for a minute. One question serves all hosts that match the same Host lines.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import re
import shlex
import shutil
import subprocess
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.files import user_cache
from thorctl.files.identity import identity
from thorctl.files.user_cache import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Answer = dict[str, list[str]]

SECONDS = 30.0  # for one answer; Match exec may run a slow program
VOLATILE_SECONDS = 60.0  # an answer that depends on more than files and arguments serves one call so long
CONFIGURATIONS_KEPT = 8  # whose answers are kept
INCLUDE_DEPTH = 16  # ssh's own limit
# Where builds of OpenSSH look for the system's configuration.
SYSTEM_FILES = ("/etc/ssh/ssh_config", "/usr/local/etc/ssh/ssh_config", "/opt/homebrew/etc/ssh/ssh_config")
# Answers that depend on more than files and arguments: programs, networks, names, environment, sessions.
_VOLATILE = re.compile(
    r"^\s*(match\b.*\b(exec|localnetwork|sessiontype|command)\b|canonicalizehostname\b(?!\s*=?\s*\"?no)|"
    r"include\b.*[%$]|.*\$\{)",
    re.IGNORECASE | re.MULTILINE,
)
# Answers for which hosts cannot be put together by the Host lines that they match.
_BY_HOST = re.compile(r"^\s*match\b(?!\s+all\s*$)|%", re.IGNORECASE | re.MULTILINE)
_HOST = re.compile(r"^\s*host(name)?(?:\s*=\s*|\s+)(.*?)\s*$", re.IGNORECASE | re.MULTILINE)
_JUMP = re.compile(r"^\s*proxyjump(?:\s*=\s*|\s+)(.*)$", re.MULTILINE)
# Names in small letters and dotted quads: not user@host, URIs, 127.1 or IPv6 addresses, which ssh rewrites.
_PLAIN = re.compile(r"(?:[a-z0-9_-]+\.)*[a-z_][a-z0-9_-]*|(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})")
# Stand in for the host and the port where one answer serves several.
ANY_HOST, ANY_PORT = "any-host.thorctl.invalid", "64987"


class SshRefusedError(Exception):
    """ssh does not take the arguments or the configuration; the text is its own."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The files that ssh reads.

    Attributes:
        files: all of them, absent ones included, and the folders that Include looks into.
        identity: of all files as they are.
        volatile: whether an answer may change while they do not.
        patterns: of all Host lines; hosts that match the same ones have the same answer. None: they may not.
        names: in HostName and ProxyJump lines; in an answer one of these would look like the host itself.
    """

    files: tuple[str, ...]
    identity: str
    volatile: bool
    patterns: tuple[str, ...] | None
    names: frozenset[str]


def home() -> Path:
    """The user's home as ssh finds it: in the user database, not in $HOME."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def tilde(text: str) -> str:
    """``~`` and ``~user`` as ssh fills them in."""
    if text == "~" or text.startswith("~/"):
        return f"{home()}{text[1:]}"
    return os.path.expanduser(text)  # noqa: PTH111 - a text that may be no path, such as `none`


_configurations: dict[str | None, Configuration] = {}


def configuration(named: str | None) -> Configuration:
    """The configuration that ``-F named`` stands for; None: the user's and the system's."""
    known = _configurations.get(named)
    if known is None or known.identity != _together(known.files):
        known = _configurations[named] = _read(named)
    return known


def _read(named: str | None) -> Configuration:
    files: list[str] = []
    texts: list[str] = []
    if named is None:
        todo = [(str(home() / ".ssh" / "config"), str(home() / ".ssh"), 0)]
        todo += [(path, "/etc/ssh", 0) for path in SYSTEM_FILES]
    else:
        todo = [] if named == "none" else [(tilde(named), str(home() / ".ssh"), 0)]
    while todo:
        path, folder, depth = todo.pop()
        files.append(str(Path(path).absolute()))
        with contextlib.suppress(OSError):
            text = Path(path).read_text(errors="replace")
            texts.append(text)
            for pattern in _included(text, folder) if depth < INCLUDE_DEPTH else []:
                files.append(str(Path(pattern).parent))  # a new file there may match
                # glob(3), as ssh reads Include: pathlib's knows no absolute pattern.
                todo += [(one, folder, depth + 1) for one in sorted(glob.glob(pattern))]  # noqa: PTH207
    whole = "\n".join(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE) for text in texts)
    patterns, names = _host_lines(whole)
    return Configuration(
        tuple(files),
        _together(files),
        volatile=bool(_VOLATILE.search(whole)),
        patterns=None if _BY_HOST.search(whole) else patterns,
        names=names,
    )


def _host_lines(text: str) -> tuple[tuple[str, ...] | None, frozenset[str]]:
    patterns: set[str] = set()
    names: set[str] = set()
    for is_name, value in _HOST.findall(text):
        try:
            words = shlex.split(value.lower())
        except ValueError:
            return None, frozenset()
        (names if is_name else patterns).update(words)
    for value in _JUMP.findall(text.lower()):
        names.update(re.split(r"[\s,@:/\[\]\"]+", value))
    return tuple(sorted({pattern.removeprefix("!") for pattern in patterns})), frozenset(names)


def _matched(patterns: Iterable[str], host: str) -> str:
    """Which patterns a host matches; ``*`` and ``?`` are the only ones with a meaning."""
    return "".join(
        "01"[bool(re.fullmatch(re.escape(one).replace(r"\*", ".*").replace(r"\?", "."), host))]
        for one in patterns
    )


def _together(files: Iterable[str]) -> str:
    return digest(f"{file} {identity(file)}" for file in files)


def _included(text: str, folder: str) -> list[str]:
    """The patterns of the Include lines, as absolute paths."""
    found: list[str] = []
    for line in re.findall(r"^\s*include[\s=]+(.*)$", text, re.IGNORECASE | re.MULTILINE):
        with contextlib.suppress(ValueError):
            # A pattern and no path: Path would drop what is special in it.
            found += [os.path.join(folder, tilde(pattern)) for pattern in shlex.split(line)]  # noqa: PTH118
    return found


_answers: dict[tuple[str, ...], Future[Answer]] = {}
_lock = threading.Lock()


def ask(program: str, arguments: Sequence[str], host: str, config: str | None) -> Answer:
    """What ``program -G arguments host`` answers: option in small letters -> its values. Thread-safe.

    Args:
        program: name or path of ssh.
        arguments: of ssh, without the host.
        host: as ssh would get it.
        config: the value of ``-F`` in ``arguments``; None without.

    Raises:
        SshRefusedError: ssh does not take them.
    """
    files = configuration(config)
    words = tuple(arguments)
    instead: dict[str, str] = {}
    volatile = files.volatile or any("canonicalizehostname" in word.lower() or "${" in word for word in words)
    alone = files.patterns is None or not _PLAIN.fullmatch(host) or host in files.names
    if (
        volatile
        or alone
        or any(host in word or re.search("%|hostname", word, re.IGNORECASE) for word in words)
    ):
        target = f"host {host}"
    else:
        words, instead = _for_all(words, host)
        target = f"like {_matched(files.patterns or (), host)}"
    age = str(time.monotonic() // VOLATILE_SECONDS) if volatile else ""
    key = (program, files.identity, age, *words, target)
    with _lock:
        known = _answers.get(key)
        if known is None:
            mine = _answers[key] = Future()
    if known is None:
        try:
            mine.set_result(_answer(program, words, host, key, instead, volatile=volatile))
        except BaseException as error:
            with _lock:
                del _answers[key]  # whoever waits for it fails too; the next one asks again
            mine.set_exception(error)
            raise
        known = mine
    answer = known.result()
    return {name: [instead.get(value, value) for value in values] for name, values in answer.items()}


def _for_all(words: tuple[str, ...], host: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The words with a placeholder for the port; what each placeholder stands for."""
    instead = {ANY_HOST: host}
    port = next((word for word in words if re.fullmatch(r"Port=\d+", word)), None)
    if port is None or any(ANY_PORT in word for word in words):
        return words, instead
    at = words.index(port)
    instead[ANY_PORT] = port.removeprefix("Port=")
    return (*words[:at], f"Port={ANY_PORT}", *words[at + 1 :]), instead


def _answer(
    program: str,
    words: Sequence[str],
    host: str,
    key: Sequence[str],
    instead: Mapping[str, str],
    *,
    volatile: bool,
) -> Answer:
    file = None if volatile else _file(program, key)
    kept = user_cache.read(file) if file else None
    if isinstance(kept, dict):
        return kept
    answer = _ask(program, words, host)
    if ANY_HOST in instead and answer["hostname"] == [host]:
        answer["hostname"] = [ANY_HOST]
    if file:
        user_cache.write(file, answer, kept=CONFIGURATIONS_KEPT)
    return answer


def _ask(program: str, words: Sequence[str], host: str) -> Answer:
    command = [program, "-G", "-T", *words, "--", host]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise SshRefusedError(f"`{program} -G` did not end within {SECONDS:g} s") from None
    except OSError as error:
        raise SshRefusedError(f"{program}: {error.strerror}") from None
    answer: Answer = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        answer.setdefault(name.lower(), []).append(value)
    if done.returncode or not {"hostname", "port", "user"} <= answer.keys():
        said = "; ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
        raise SshRefusedError(said or f"`{program} -G` gives no configuration: is it OpenSSH?")
    return answer


def _file(program: str, key: Sequence[str]) -> Path | None:
    """Where the answer is kept; None without a usable cache folder."""
    path = shutil.which(program)
    if path is None:
        return None
    folder = digest((identity(path), path, key[1], str(os.getuid())))
    return user_cache.place("ssh", folder, f"{digest(key)}.json")
