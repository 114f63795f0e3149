"""What a disk's refusal means to an operator: the kernel's word turned into a code and a remedy."""

from __future__ import annotations

import errno

from thorctl.agent.core.outcome import AgentError

FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY_REMEDY = (
    "A kernel does this to a disk that fails: look for its errors in `dmesg`, check the disk (`fsck`) or "
    "replace it, and reboot; then `thorctl status DEVICE`."
)
FULL_REMEDY = "Free space on the device (`sudo thor-agent gc`, `docker image prune`), then say it again."


def as_error(failed: BaseException) -> AgentError | None:
    """``disk_read_only`` or ``disk_too_small``; None if it is not the disk that refused."""
    number = failed.errno if isinstance(failed, OSError) else None
    if number == errno.EROFS:
        return AgentError("disk_read_only", f"The disk takes no write: {failed}.", READ_ONLY_REMEDY)
    if number in FULL:
        return AgentError("disk_too_small", f"The disk is full: {failed}.", FULL_REMEDY)
    return None
