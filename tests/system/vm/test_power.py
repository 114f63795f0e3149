"""Power that is cut, a kernel that hangs, a switch used in order: what was flushed stays, and it boots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.vm.conftest import BOOT_TIMEOUT, DEVICE
from thorctl.cli.main import run
from thorctl.result import Exit

if TYPE_CHECKING:
    from tests.system.vm.conftest import Rebooted, VirtualWorld

pytestmark = [pytest.mark.sim, pytest.mark.vm, pytest.mark.timeout(BOOT_TIMEOUT)]


def test_a_power_cut_loses_what_was_not_flushed_and_nothing_else(
    bare: VirtualWorld, rebooted: Rebooted
) -> None:
    before = bare.machine.boot_id()
    # One command: the cut must come sooner than the kernel's own flush (30 s after a write).
    bare.run(
        "sudo sh -c 'cd /var/lib/thor && head -c 1000000 /dev/urandom > synced && sync synced . &&"
        " head -c 1000000 /dev/urandom > unsynced'"
    )
    cut = run(["--quiet", "sim", "cut", DEVICE, "--name", bare.sim.name, "--stay-off"])
    assert cut is not None
    assert cut.exit_code == Exit.SUCCESS
    assert bare.machine.pid is None
    again = run(["--quiet", "sim", "up", "--name", bare.sim.name])  # what is off is switched on again
    assert again is not None
    assert again.exit_code == Exit.SUCCESS
    assert bare.machine.boot_id() not in {before, None}
    sizes = bare.run("cd /var/lib/thor && stat -c '%n %s' synced unsynced 2>/dev/null || true").splitlines()
    assert "synced 1000000" in sizes
    assert "unsynced 1000000" not in sizes
    assert bare.run("systemctl is-active thor-recover") == "active"


def test_a_kernel_that_hangs_is_reset_by_the_watchdog(bare: VirtualWorld, rebooted: Rebooted) -> None:
    before = bare.machine.boot_id()
    # Without panic= a kernel that has panicked stands still for ever: only the hardware ends that, in 100 s.
    bare.machine.ssh("sudo sh -c 'sysctl -q kernel.panic=0; echo c > /proc/sysrq-trigger'", timeout=30)
    bare.machine.wait_booted(after=before)
    assert bare.run("systemctl is-active thor-recover") == "active"


def test_it_switches_itself_off_in_order(bare: VirtualWorld, rebooted: Rebooted) -> None:
    bare.machine.shutdown()
    assert bare.machine.pid is None
    assert "reboot: Power down" in (bare.machine.folder / "console.log").read_text(errors="replace")
