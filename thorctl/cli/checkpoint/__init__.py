"""``thorctl checkpoint``: a command group."""

from thorctl.cli.checkpoint.group import command

__all__ = ["command"]
