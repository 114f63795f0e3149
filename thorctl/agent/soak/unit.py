"""The transient unit of a soak: it outlives the connection, and ends with the trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import EXIT_TERMINATED, AgentError

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

AGAIN_SECONDS = 5
STOP_SECONDS = 10  # for a process that only has to close connections


def begin(ctx: Context, activation: int) -> None:
    """Start the unit, unless it is active.

    Raises:
        AgentError: ``internal``, if systemd reports a failure.
    """
    name = unit_name(activation)
    if is_active(ctx, activation):
        return
    ctx.runner.run(["systemctl", "reset-failed", f"{name}.service"])
    argv = [
        *("systemd-run", "--collect", "--unit", name, "--description", "Soak of the release on trial"),
        *("--property", "Restart=on-failure", "--property", f"RestartSec={AGAIN_SECONDS}"),
        *("--property", f"SuccessExitStatus={EXIT_TERMINATED}"),
        *("--property", f"RestartForceExitStatus={EXIT_TERMINATED}"),
        *("--property", f"TimeoutStopSec={STOP_SECONDS}", "--property", "Nice=10"),
        *("--property", "MemoryMax=512M", "--property", "TasksMax=128"),
        *(*ctx.paths.agent_words, "soak-work", str(activation)),
    ]
    done = ctx.runner.run(argv)
    if not done.ok:
        raise AgentError(
            "internal",
            f"systemd did not start the soak (exit {done.rc}): {done.stderr.strip()}",
            "Read `systemctl status` and `journalctl -b` on the device, then repeat the command.",
        )


def is_active(ctx: Context, activation: int) -> bool:
    """Return whether the soak's unit is active or about to restart."""
    shown = ctx.runner.run(
        ["systemctl", "show", "--property", "ActiveState", f"{unit_name(activation)}.service"]
    )
    return shown.stdout.strip() in ("ActiveState=active", "ActiveState=activating")


def end(ctx: Context, activation: int) -> None:
    """Stop the unit, if there is one. If systemd fails to, its process ends when it reads the journal."""
    ctx.runner.run(["systemctl", "stop", f"{unit_name(activation)}.service"])


def unit_name(activation: int) -> str:
    """Return the name of the transient unit, such as ``thor-soak-7``."""
    return f"thor-soak-{activation}"
