"""``thorctl checkpoint``: what is in a checkpoint, mending what an engine would misread, quantizing."""

from __future__ import annotations

import click

from thorctl.cli.group import LazyGroup

EPILOG = """\b
Examples:
  thorctl checkpoint audit sahilchachra/Qwable-v1-NVFP4A16    from the hub, by range requests
  thorctl checkpoint repair ./Qwable-v1-NVFP4A16 --out ./Qwable-v1-NVFP4A16-reconciled
  thorctl checkpoint quantize ./Qwable-v1 --out ./Qwable-v1-NVFP4A16
"""

# What needs numpy is imported by the verbs that compute.
VERBS = {
    "audit": "Judge a checkpoint by its card and by vLLM's names.",
    "publish": "Put a checkpoint into a hub mirror of your own.",
    "quantize": "Make an NVFP4A16 checkpoint from a BF16 one.",
    "repair": "Write a copy with shared global scales.",
}


@click.group("checkpoint", cls=LazyGroup, package=__package__, verbs=VERBS, epilog=EPILOG)
def command() -> None:
    """Audit, repair, quantize or publish a checkpoint."""
