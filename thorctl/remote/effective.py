"""The options that OpenSSH itself would use for a host: the answer of ``ssh -G``.

A process per device and call would cost more than the connection. Answers are kept in the user's cache
directory, filed by the ssh program, by every configuration file that ssh reads (path, inode, modification
time, size, owner and mode) and by the arguments. An answer that may depend on more, such as ``Match exec``,
is kept for a minute. One question serves all hosts for which the same lines hold, whatever their HostName.
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
_KEYWORD = re.compile(r"([a-z0-9]+)(?:\s*=\s*|\s+)(.*)", re.IGNORECASE)
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
        lines: each with the Host lines that it stands below; hosts for which the same lines hold have the
            same answer. None: they may not.
        jumps: names in ProxyJump lines: ssh refuses a host that leads to itself.
    """

    files: tuple[str, ...]
    identity: str
    volatile: bool
    lines: tuple[Line, ...] | None
    jumps: frozenset[str]


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
    """All lines of the files in the order in which ssh reads them; None where they cannot be taken apart."""
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
        elif keyword == "match":  # only `all` gets here
            here = around
        elif keyword == "include":
            for pattern in _included(text, folder):
                for one in sorted(glob.glob(pattern)):  # noqa: PTH207 - as above
                    _add_lines(found, one, folder, here, depth + 1)
        else:
            found.append((here, text))


@functools.lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    """Of ``*`` and ``?``, the only ones with a meaning."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))


def _holds(host: str, patterns: Iterable[str]) -> bool:
    """Whether a Host line matches: one of its patterns does, and none of the negated ones."""
    found = False
    for pattern in patterns:
        if _expression(pattern.removeprefix("!")).fullmatch(host):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _for_host(lines: Iterable[Line], host: str) -> tuple[str, str | None]:
    """A text that is the same for hosts with the same answer but for its hostname; and that name.

    The name is None where ssh forms it in a way of its own.
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
    """ssh finds another name for the host than its lines say: the answer is not for others."""


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
                del _answers[key]  # whoever waits for it fails too; the next one asks again
            mine.set_exception(error)
            raise
        known = mine
    answer = known.result()
    return {name: [instead.get(value, value) for value in values] for name, values in answer.items()}


def _for_all(words: tuple[str, ...], name: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The words with a placeholder for the port; what each placeholder stands for."""
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
    """Where the answer is kept; None without a usable cache folder."""
    path = shutil.which(program)
    if path is None:
        return None
    folder = digest((identity(path), path, key[1], str(os.getuid())))
    return user_cache.place("ssh", folder, f"{digest(key)}.json")
