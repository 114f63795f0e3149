"""Find the root error in an engine's log: the exception that ended it, not those that relay it.

vLLM has an API server, an engine core and workers. The failing process writes a traceback, and each of its
parents another one that refers to "root cause above"; the log ends a hundred lines later.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from thorctl.protocol import foreign_json
from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 400  # characters; an exception may quote a whole configuration
# The log is the engine's, so untrusted, and the agent that searches a thousand lines of up to 48 KiB
# (journald's limit) holds the device's lock: lines are cut, and no pattern has an unbounded repetition behind
# one that can begin anywhere.
LINE = 4096  # characters

# "(Worker pid=30) ERROR 11-30 11:10:36 [multiproc_executor.py:953] text"; the first part may be coloured.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_PROCESS = re.compile(r"^\([^()]*\bpid=\d+\) ?")
_STAMP = re.compile(r"^(?P<level>[A-Z]+) \d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \[[^\]]*\] ?")
_ERRORS = ("ERROR", "CRITICAL")
_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = "The above exception was the direct cause of the following exception:"
_EXCEPTION = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]*(?:Error|Exception|Exit|Interrupt|Timeout|Failure)(?:: .*|:)?$"
)
_RELAYED = re.compile(
    r"see (?:the )?(?:root cause|stack ?trace|error)\b.{0,80}\babove|see stack ?trace for root cause"
    r"|see stack ?trace \(above\)|engine ?core proc\b.{0,80}\bdied|EngineDeadError|EngineGenerateError"
    r"|^KeyboardInterrupt|^SystemExit|CancelledError|Event loop stopped before Future completed"
    r"|Did not receive response from front-end"
    r"|^RuntimeError: cancelled|cancel_scope|BrokenPipeError",
    re.IGNORECASE,
)
# How programs report an end without a traceback.
_PLAIN = re.compile(
    r"^(?:\S+: )?error: |^docker: (?!\s*$)|^thor-agent: |^terminate called"
    r"|^\s*what\(\): |^Fatal Python error: |^/bin/sh: |^exec .*: |Segmentation fault|^Killed$"
    r"|: command not found$|^Illegal instruction"
    r"|^OCI runtime |^nvidia-container-cli: |^panic: ",
)
# Exceptions whose message names no object: the place of the raise is added.
_BARE = re.compile(r"^(?:Index|Key|Attribute|Assertion|Type|NotImplemented|Syntax)Error(?::.{0,40})?$")
_PLACE = re.compile(r'^  File "(?:.*/)?(?P<file>[^/"]+)", line (?P<line>\d+)(?:, in \S+)?$')
# Docker's client, and the agent's answer before the container: one JSON object.
_NO_START = re.compile(r"^docker: (?!(?:See|Run) ')\S|^\{.*\"ok\": false")
_SAYS_NOTHING = re.compile(r"^docker: (?:See|Run) '|^thor-agent: (?:waiting|removing)")


@dataclass(frozen=True)
class LastError:
    """The error and its line's index in the log; ``relayed``: the log holds no original error."""

    text: str
    line: int
    relayed: bool = False


def find(log: Sequence[str]) -> LastError | None:
    """Return the error that ended an engine, from its log, the oldest line first.

    Returns the failure that prevented the container's start, if it came last; else the first exception of the
    last traceback that is not a relayed one; else the last error line; else a relayed exception; else None.
    """
    log = [readable(line) for line in log]
    lines = [_stripped(line) for line in log]
    exceptions = _exceptions(log, lines)
    before = [number for number, line in enumerate(lines) if _NO_START.search(line)]
    if before and before[-1] > max(exceptions, default=-1):
        return LastError(_shortened(_agent_s(lines[before[-1]])), before[-1])
    real = [one for one in exceptions if not _RELAYED.search(lines[one])]
    if real:
        # An exception logged as an error precedes the one it caused.
        logged = [one for one in real if _level(log[one]) in _ERRORS]
        root = _cause(lines, (logged or real)[-1], real)
        told, last = _told(lines, root), _told(lines, real[-1])
        return LastError(told if last == told or not logged else f"{told}; then {last}", root)
    plain = [number for number, line in enumerate(lines) if _plain(log[number], line)]
    if plain:
        return LastError(_shortened(lines[plain[-1]]), plain[-1])
    return LastError(_shortened(lines[exceptions[-1]]), exceptions[-1], relayed=True) if exceptions else None


def readable(line: str) -> str:
    """Return a line without terminal colours, which vLLM also writes to files, cut to ``LINE``."""
    return _COLOURS.sub("", line[: 2 * LINE])[:LINE]


def _stripped(line: str) -> str:
    """Return a line without vLLM's prefix of process, level, time and place."""
    return _STAMP.sub("", _PROCESS.sub("", line)).rstrip()


def _exceptions(log: Sequence[str], lines: Sequence[str]) -> list[int]:
    """Return the indexes of exceptions: the first line after each traceback that is not indented.

    What another process logs meanwhile, at a level of its own, does not end a traceback.
    """
    found, inside, level = [], False, None
    for number, line in enumerate(lines):
        if line == _TRACEBACK:
            inside, level = True, _level(log[number])
        elif inside and line and not line.startswith((" ", "\t")):
            if _level(log[number]) not in {level, None, *_ERRORS}:
                continue
            inside = False
            if _EXCEPTION.match(line) or ": " in line or line.isidentifier():
                found.append(number)
    return found


def _cause(lines: Sequence[str], number: int, real: list[int]) -> int:
    """Return the index of the first exception of a chain. ``real``: exceptions that no process relays."""
    tracebacks = [one for one, line in enumerate(lines) if line == _TRACEBACK]
    while True:
        above = bisect_left(tracebacks, number) - 1
        before = tracebacks[above] - 1 if above >= 0 else -1
        while before >= 0 and not lines[before]:
            before -= 1
        if before < 0 or lines[before] != _CHAINED:
            return number
        earlier = bisect_left(real, before)
        if not earlier:
            return number
        number = real[earlier - 1]


def _told(lines: Sequence[str], number: int) -> str:
    """Return an exception in one line; for a validation error, which starts with a count, add its first."""
    text = lines[number]
    if _BARE.match(text):
        place = next((_PLACE.match(one) for one in reversed(lines[:number]) if _PLACE.match(one)), None)
        text += f" ({place['file']}, line {place['line']})" if place else ""
    if re.search(r"\d validation errors? for ", text) or text.rstrip().endswith(":"):
        text = " ".join([text, *(line.strip() for line in lines[number + 1 : number + 3] if line.strip())])
    return _shortened(text)


def _plain(whole: str, line: str) -> bool:
    """Return whether a line outside tracebacks is an error. ``whole``: the line with its prefix."""
    if _SAYS_NOTHING.search(line) or _RELAYED.search(line):
        return False
    return bool(_PLAIN.search(line)) or (_level(whole) in _ERRORS and line[:1].strip() != "")


def _level(line: str) -> str | None:
    stamp = _STAMP.match(_PROCESS.sub("", line))
    return stamp["level"] if stamp else None


def _agent_s(line: str) -> str:
    """Return the message of an agent's answer; any other line unchanged."""
    try:
        return str(foreign_json.read(line)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return line


def _shortened(text: str) -> str:
    text = text.strip()
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
