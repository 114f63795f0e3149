"""asyncssh finds the same libraries without starting a program."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from thorctl.remote import linker_cache

LOOK = """
import sys, json
started = []
sys.addaudithook(lambda event, words: started.append(words[1]) if event == "subprocess.Popen" else None)
{first}
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
print(json.dumps([started, [name.decode() for name in get_kex_algs() + get_mac_algs()]]))
"""


def looked(first: str) -> Any:
    words = [sys.executable, "-c", LOOK.format(first=first)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def test_the_algorithms_are_the_same_and_no_program_is_started() -> None:
    started, algorithms = looked("import thorctl.remote.ssh")
    assert started == []
    assert algorithms == looked("")[1]
    assert ("umac-64-etm@openssh.com" in algorithms) == bool(linker_cache._found("nettle"))
