"""The TCP ports of a device that accept connections, seen from this machine or from a container beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker.models.containers import Container

# One connection after the other: a closed port refuses at once, so that all take three seconds.
_PROGRAM = """
import json, socket, sys
found = []
for port in range(1, 65536):
    with socket.socket() as one:
        one.settimeout(30)
        try:
            one.connect((sys.argv[1], port))
        except ConnectionRefusedError:
            continue
        found.append(port)
print(json.dumps(found))
"""


def open_ports(address: str, *, seen_from: Container | None = None) -> list[int]:
    """Ports of ``address`` that accept, in order; ``seen_from``: None is this machine.

    Raises:
        AssertionError: a port neither accepts nor refuses.
    """
    if seen_from is None:
        words = [sys.executable, "-c", _PROGRAM, address]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
    else:
        result = seen_from.exec_run(["python3", "-c", _PROGRAM, address])
        assert isinstance(result.output, bytes)
        text = result.output.decode()
        assert result.exit_code == 0, text
    ports: list[int] = json.loads(text)
    return ports
