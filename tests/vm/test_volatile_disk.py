"""The disk of the power cuts forgets: what was not flushed is gone with the power, overwrites too."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.vm.conftest import BOOT_TIMEOUT
from tests.vm.cut_phases import PLACE

if TYPE_CHECKING:
    from tests.vm.cut_world import CutWorld

pytestmark = [pytest.mark.sim, pytest.mark.vm, pytest.mark.timeout(BOOT_TIMEOUT)]

# The counter goes past the kernel's own cache: each line printed is a write that the disk has confirmed.
WRITER = f"""
import mmap, os
os.chdir("{PLACE}")
def put(name, text, flags=0):
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | flags)
    os.pwrite(descriptor, text, 0)
    return descriptor
os.fsync(put("synced", b"after"))
put("overwritten", b"after")
put("unsynced", b"after")
block = mmap.mmap(-1, 4096)
counter = os.open("direct", os.O_WRONLY | os.O_DIRECT)
for number in range(10**9):
    block[:10] = b"%10d" % number
    os.pwrite(counter, block, 0)
    print(number, flush=True)
"""
CONFIRMED = 30  # writes that must be lost, at the least, after the last flush that anybody asked for


def test_what_was_not_flushed_is_lost_and_what_was_is_kept(cut_world: CutWorld) -> None:
    machine = cut_world.saved.machine
    cut_world.saved.restore("fresh")
    cut_world.bring("writer.py", WRITER.encode())
    ssh = machine.ssh_words(f"python3 -u {PLACE}/writer.py")
    with (
        cut_world.saved.monitor() as monitor,
        subprocess.Popen(ssh, stdout=subprocess.PIPE, text=True) as writer,
    ):
        assert writer.stdout is not None
        flushes, since, number = -1, 0, -1
        while number - since < CONFIRMED:
            number = int(writer.stdout.readline())
            now = monitor.disk_work().flushes
            if now != flushes:
                flushes, since = now, number
        machine.cut()
    machine.power_on()
    cut_world.saved.wait_answering()
    kept = int(cut_world.order(f"head -c 10 {PLACE}/direct"))
    assert kept < number, "the disk kept a write that nobody had it flush"
    assert cut_world.order(f"head -c 5 {PLACE}/synced") == "after"
    assert cut_world.order(f"tr -d '\\0' < {PLACE}/overwritten") == ""
    assert cut_world.order(f"cat {PLACE}/unsynced 2>/dev/null | tr -d '\\0' || true") == ""
