"""Data on a second disk (Ansible's role thor_storage): whether it is mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

MOUNT_UNIT = "/etc/systemd/system/var-lib-thor.mount"
MARK = ".thor-storage"  # in each directory that the role mounts


def require_mounted(ctx: Context) -> None:
    """Refuse to work on the directory below the mount point: its journal is empty.

    Raises:
        AgentError: ``storage_missing``.
    """
    if ctx.paths.at(MOUNT_UNIT).exists() and not (ctx.paths.state_dir / MARK).exists():
        raise AgentError(
            "storage_missing",
            f"The disk with this device's state and releases is not mounted at {ctx.paths.state_dir}.",
            "Mount the disk (`systemctl status var-lib-thor.mount` names it), then restart the device.",
        )
