"""``thorctl checkpoint publish``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from thorctl.checkpoint import hub_tree
from thorctl.checkpoint import manifest as manifests
from thorctl.checkpoint.audit import audit as audited
from thorctl.checkpoint.source import Folder
from thorctl.cli.checkpoint.audit import problems
from thorctl.cli.context import Context, pass_context
from thorctl.result import Result

EPILOG = """\b
Examples:
  thorctl checkpoint publish ./Qwable-v1-NVFP4A16-reconciled me/Qwable-v1-NVFP4A16-reconciled --tree /srv/hub
"""


@click.command("publish", short_help="Put a checkpoint into a hub mirror of your own.", epilog=EPILOG)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--tree", required=True, type=click.Path(path_type=Path), help="Folder of the mirror.")
@click.option("--revision", default="main", show_default=True, help="Branch or tag for this version.")
@click.option("--as-it-is", is_flag=True, help="Publish although the audit rejects it.")
@pass_context
def command(
    ctx: Context, *, folder: Path, repository: str, tree: Path, revision: str, as_it_is: bool
) -> Result:
    """Put the checkpoint DIR into your own hub mirror, from which devices and `thorctl lock` fetch it.

    The mirror is a folder that nginx serves (docs/how-to/checkpoint.md). DIR is checked against its manifest
    and audited first. Idempotent; other repositories and older commits in the folder stay.
    """
    with ctx.messages.status(f"Reading {escape(str(folder))}") as status:
        source = Folder(folder)

        def told(step: str) -> None:
            status.update(escape(step))

        manifest = manifests.load(folder)
        if manifest is not None:
            manifests.require_intact(folder, manifest, told)
        found = audited(source, told)
        off, errors = found.off, problems(found)
        if errors and not as_it_is:
            return Result("checkpoint publish", {"published": False}, errors, exit_code=1)
        commit = hub_tree.publish(tree, repository, folder, revision, told)
    data = {
        "published": True,
        "repository": repository,
        "revision": revision,
        "commit": commit,
        "tree": str(tree),
        "made_by": manifest.made_by if manifest else None,
        "off": list(off),
    }
    text = (
        f"{repository}@{revision} is {commit} in {tree}.\nA profile refers to it with:\n"
        f"  extends: PROFILE\n  checkpoint: {{repository: {repository}, revision: {revision}, "
        "endpoint: http://YOUR-MIRROR}"
    )
    return Result("checkpoint publish", data, view=text)
