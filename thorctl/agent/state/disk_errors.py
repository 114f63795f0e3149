"""What a disk's refusal means to an operator: the kernel's word turned into a code and a remedy."""

from __future__ import annotations

import errno

from thorctl.agent.core.outcome import AgentError

FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY_REMEDY = (
    "Read the kernel's errors with `dmesg` on the device: it makes a failing disk read-only. Check "
    "the disk (`fsck`) or replace it, reboot, then see `thorctl status DEVICE`."
)
FULL_REMEDY = (
    "Free space on the device (`sudo thor-agent gc`, `docker image prune`), then repeat the command."
)


def as_error(failed: BaseException) -> AgentError | None:
    """``disk_read_only`` or ``disk_too_small``; None if it is not the disk that refused."""
    number = failed.errno if isinstance(failed, OSError) else None
    if number == errno.EROFS:
        return AgentError("disk_read_only", f"The disk is read-only: {failed}.", READ_ONLY_REMEDY)
    if number in FULL:
        return AgentError("disk_too_small", f"The disk is full: {failed}.", FULL_REMEDY)
    return None
