"""``thorctl checkpoint``: audit, repair, quantize and publish checkpoints."""

from __future__ import annotations

import click

from thorctl.cli.group import LazyGroup

EPILOG = """\b
Examples:
  thorctl checkpoint audit sahilchachra/Qwable-v1-NVFP4A16    from the hub, by range requests
  thorctl checkpoint repair ./Qwable-v1-NVFP4A16 --out ./Qwable-v1-NVFP4A16-reconciled
  thorctl checkpoint quantize ./Qwable-v1 --out ./Qwable-v1-NVFP4A16
"""

# The verbs that compute import numpy.
VERBS = {
    "audit": "Compare a checkpoint with its card and vLLM's names.",
    "publish": "Put a checkpoint into a hub mirror of your own.",
    "quantize": "Make an NVFP4A16 checkpoint from a BF16 one.",
    "repair": "Write a copy with shared global scales.",
}


@click.group("checkpoint", cls=LazyGroup, package=__package__, verbs=VERBS, epilog=EPILOG)
def command() -> None:
    """Audit, repair, quantize or publish a checkpoint."""
