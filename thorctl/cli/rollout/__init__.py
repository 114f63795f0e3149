"""``thorctl rollout``: a command group."""

from thorctl.cli.rollout.group import command

__all__ = ["command"]
