"""The disk of the power cuts forgets: what was not flushed is gone with the power, overwrites too."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.system.vm.conftest import BOOT_TIMEOUT
from tests.system.vm.cut_phases import PLACE

if TYPE_CHECKING:
    from tests.system.vm.cut_world import CutWorld

pytestmark = [pytest.mark.sim, pytest.mark.vm, pytest.mark.timeout(BOOT_TIMEOUT)]

BLOCKS = 4096
# The counter goes past the kernel's own cache, each number to a block of its own: a line that is printed is a
# write that the disk has confirmed.
WRITER = f"""
import mmap, os
os.chdir("{PLACE}")
def put(name, text):
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT)
    os.pwrite(descriptor, text, 0)
    return descriptor
os.fsync(put("synced", b"after"))
put("overwritten", b"after")
put("unsynced", b"after")
block = mmap.mmap(-1, 4096)
counter = os.open("direct", os.O_WRONLY | os.O_DIRECT)
for number in range({BLOCKS}):
    block[:10] = b"%10d" % number
    os.pwrite(counter, block, 4096 * number)
    print(number, flush=True)
"""
CONFIRMED = 200  # writes seen since the last flush: more than are on their way from the machine to us


def test_what_was_not_flushed_is_lost_and_what_was_is_kept(cut_world: CutWorld) -> None:
    machine = cut_world.saved.machine
    cut_world.saved.restore("fresh")
    cut_world.order(f"cd {PLACE} && for one in overwritten synced; do printf before > $one; done")
    cut_world.order(f"dd if=/dev/zero of={PLACE}/direct bs=4096 count={BLOCKS} && sync")
    cut_world.bring("writer.py", WRITER.encode())
    cut_world.saved.save("before")  # all of that lies below the overlay that the power is cut over
    cut_world.saved.restore("before")
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
        number = max([number, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    machine.power_on()
    cut_world.saved.wait_answering()
    last = cut_world.order(f"dd if={PLACE}/direct bs=4096 skip={number} count=1 status=none | tr -d '\\0'")
    assert last == "", "the disk kept a write that nobody had it flush"
    assert cut_world.order(f"cat {PLACE}/synced") == "aftere"
    assert cut_world.order(f"cat {PLACE}/overwritten") == "before"
    assert cut_world.order(f"cat {PLACE}/unsynced 2>/dev/null | tr -d '\\0' || true") == ""
