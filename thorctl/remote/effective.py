"""The options that OpenSSH itself would use for a host: the answer of ``ssh -G``.

A process per device and call would take longer than the connection. Answers are cached in the user's cache
directory by the ssh program, every configuration file that ssh reads (path, inode, modification time, size,
owner and mode) and the arguments. An answer that may depend on more, such as ``Match exec``, is cached for a
minute. One query serves all hosts with the same configuration lines, whatever their HostName.
"""

from __future__ import annotations

import contextlib
import functools
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
Line = tuple[tuple[tuple[str, ...], ...], str]  # patterns of each Host line around it, its text

SECONDS = 30.0  # for one answer; Match exec may run a slow program
VOLATILE_SECONDS = 60.0  # life of an answer that depends on more than files and arguments
CONFIGURATIONS_KEPT = 8  # configurations whose answers are cached
INCLUDE_DEPTH = 16  # ssh's own limit
# The system's configuration in different builds of OpenSSH.
SYSTEM_FILES = ("/etc/ssh/ssh_config", "/usr/local/etc/ssh/ssh_config", "/opt/homebrew/etc/ssh/ssh_config")
# Answers that depend on more than files and arguments: programs, networks, names, environment, sessions.
_VOLATILE = re.compile(
    r"^\s*(match\b.*\b(exec|localnetwork|sessiontype|command)\b|canonicalizehostname\b(?!\s*=?\s*\"?no)|"
    r"include\b.*[%$]|.*\$\{)",
    re.IGNORECASE | re.MULTILINE,
)
# Options that prevent grouping hosts by the Host lines that they match.
_BY_HOST = re.compile(r"^\s*match\b(?!\s+all\s*$)|%", re.IGNORECASE | re.MULTILINE)
_KEYWORD = re.compile(r"([a-z0-9]+)(?:\s*=\s*|\s+)(.*)", re.IGNORECASE)
_JUMP = re.compile(r"^\s*proxyjump(?:\s*=\s*|\s+)(.*)$", re.MULTILINE)
# Lower-case names and dotted quads: not user@host, URIs, 127.1 or IPv6 addresses, which ssh rewrites.
_PLAIN = re.compile(r"(?:[a-z0-9_-]+\.)*[a-z_][a-z0-9_-]*|(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})")
# Placeholders for the host and the port in an answer for several hosts.
ANY_HOST, ANY_PORT = "any-host.thorctl.invalid", "64987"


class SshRefusedError(Exception):
    """ssh rejects the arguments or the configuration; the text is its own."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The files that ssh reads.

    Attributes:
        files: all of them, absent ones included, and the folders of Include patterns.
        identity: of all files in their present state.
        volatile: whether an answer may change without a change of the files.
        lines: each with its enclosing Host lines; hosts with the same effective lines have the same answer.
            None: hosts cannot be grouped.
        jumps: names in ProxyJump lines: ssh rejects a host that leads to itself.
    """

    files: tuple[str, ...]
    identity: str
    volatile: bool
    lines: tuple[Line, ...] | None
    jumps: frozenset[str]


def home() -> Path:
    """Return the user's home as ssh does: from the user database, not from $HOME."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def tilde(text: str) -> str:
    """Expand ``~`` and ``~user`` as ssh does."""
    if text == "~" or text.startswith("~/"):
        return f"{home()}{text[1:]}"
    return os.path.expanduser(text)  # noqa: PTH111 - the text may be no path, such as `none`


_configurations: dict[str | None, Configuration] = {}


def configuration(named: str | None) -> Configuration:
    """Return the configuration of ``-F named``; None: the user's and the system's."""
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
                # glob(3), as in ssh's Include: pathlib's has no absolute patterns.
                todo += [(one, folder, depth + 1) for one in sorted(glob.glob(pattern))]  # noqa: PTH207
    whole = "\n".join(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE) for text in texts)
    top = [*files[:1], *(SYSTEM_FILES if named is None else ())]  # -F none: no file at all
    return Configuration(
        tuple(files),
        _together(files),
        volatile=bool(_VOLATILE.search(whole)),
        lines=None if _BY_HOST.search(whole) else _lines(top, system=named is None),
        jumps=frozenset(
            name for value in _JUMP.findall(whole.lower()) for name in re.split(r"[\s,@:/\[\]\"]+", value)
        ),
    )


def _lines(top: Iterable[str], *, system: bool) -> tuple[Line, ...] | None:
    """Return all lines of the files in ssh's order; None if they cannot be parsed."""
    found: list[Line] = []
    try:
        for path in top:
            folder = "/etc/ssh" if system and path in SYSTEM_FILES else str(home() / ".ssh")
            _add_lines(found, path, folder, (), 0)
    except (OSError, ValueError):
        return None
    return tuple(found)


def _add_lines(
    found: list[Line], path: str, folder: str, around: tuple[tuple[str, ...], ...], depth: int
) -> None:
    """Add a file's lines below the Host lines ``around`` its Include; those in the file end with it."""
    if depth > INCLUDE_DEPTH or not Path(path).exists():
        return
    here = around
    for line in Path(path).read_text(errors="replace").splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = _KEYWORD.fullmatch(text)
        keyword = parts[1].lower() if parts else ""
        if parts is None or ("#" in text and keyword in {"host", "hostname", "include"}):
            raise ValueError(text)
        if keyword == "host":
            here = (*around, tuple(shlex.split(parts[2])))
        elif keyword == "match":  # `all`: other criteria prevent the parse
            here = around
        elif keyword == "include":
            for pattern in _included(text, folder):
                for one in sorted(glob.glob(pattern)):  # noqa: PTH207 - as above
                    _add_lines(found, one, folder, here, depth + 1)
        else:
            found.append((here, text))


@functools.lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of ``*`` and ``?``, the only special characters."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))


def _holds(host: str, patterns: Iterable[str]) -> bool:
    """Return whether a Host line matches: one of its patterns does, and none of the negated ones."""
    found = False
    for pattern in patterns:
        if _expression(pattern.removeprefix("!")).fullmatch(host):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _for_host(lines: Iterable[Line], host: str) -> tuple[str, str | None]:
    """Return a text that is equal for hosts with the same answer but for its hostname; and that hostname.

    It is None if ssh computes it.
    """
    matched: dict[tuple[str, ...], bool] = {}
    texts: list[str] = []
    name = ""
    for around, text in lines:
        for patterns in around:
            if patterns not in matched:
                matched[patterns] = _holds(host, patterns)
        if not all(matched[patterns] for patterns in around):
            continue
        parts = _KEYWORD.fullmatch(text)
        if parts and parts[1].lower() == "hostname":
            name = name or parts[2]  # ssh takes the first
            texts.append("hostname")
        else:
            texts.append(text)
    name = name or host
    return digest(texts), name if _PLAIN.fullmatch(name) else None


def _together(files: Iterable[str]) -> str:
    return digest(f"{file} {identity(file)}" for file in files)


def _included(text: str, folder: str) -> list[str]:
    """Return the patterns of the Include lines, as absolute paths."""
    found: list[str] = []
    for line in re.findall(r"^\s*include[\s=]+(.*)$", text, re.IGNORECASE | re.MULTILINE):
        with contextlib.suppress(ValueError):
            # A pattern, not a path: Path would drop special characters.
            found += [os.path.join(folder, tilde(pattern)) for pattern in shlex.split(line)]  # noqa: PTH118
    return found


_answers: dict[tuple[str, ...], Future[Answer]] = {}
_lock = threading.Lock()


def ask(program: str, arguments: Sequence[str], host: str, config: str | None) -> Answer:
    """Return the answer of ``program -G arguments host``: lower-case option -> its values. Thread-safe.

    Args:
        program: name or path of ssh.
        arguments: of ssh, without the host.
        host: as passed to ssh.
        config: the value of ``-F`` in ``arguments``; None without.

    Raises:
        SshRefusedError: ssh rejects them.
    """
    files = configuration(config)
    words = tuple(arguments)
    volatile = files.volatile or any("canonicalizehostname" in word.lower() or "${" in word for word in words)
    like, name = _for_host(files.lines, host) if files.lines is not None else ("", None)
    alone = name is None or not _PLAIN.fullmatch(host) or not {host, name}.isdisjoint(files.jumps)
    alone = alone or any(host in word or re.search("%|hostname", word, re.IGNORECASE) for word in words)
    if not volatile and not alone:
        with contextlib.suppress(_OwnAnswerError):
            shared, instead = _for_all(words, name or host)
            return _remembered(program, shared, host, files, f"like {like}", instead=instead, volatile=False)
    return _remembered(program, words, host, files, f"host {host}", instead={}, volatile=volatile)


class _OwnAnswerError(Exception):
    """ssh's name for the host differs from its lines: the answer is not valid for others."""


def _remembered(
    program: str,
    words: tuple[str, ...],
    host: str,
    files: Configuration,
    target: str,
    *,
    instead: Mapping[str, str],
    volatile: bool,
) -> Answer:
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
                del _answers[key]  # waiting calls fail too; the next one repeats the query
            mine.set_exception(error)
            raise
        known = mine
    answer = known.result()
    return {name: [instead.get(value, value) for value in values] for name, values in answer.items()}


def _for_all(words: tuple[str, ...], name: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the words with a placeholder for the port, and the values of the placeholders."""
    instead = {ANY_HOST: name}
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
    if ANY_HOST in instead:
        if answer["hostname"] != [instead[ANY_HOST]]:
            raise _OwnAnswerError
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
    """Return where the answer is cached; None without a usable cache folder."""
    path = shutil.which(program)
    if path is None:
        return None
    folder = digest((identity(path), path, key[1], str(os.getuid())))
    return user_cache.place("ssh", folder, f"{digest(key)}.json")
