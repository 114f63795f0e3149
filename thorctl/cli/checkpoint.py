"""``thorctl checkpoint``: what is in a checkpoint, mending what an engine would misread, quantizing."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from thorctl.checkpoint import hub_tree, quantize_view
from thorctl.checkpoint import manifest as manifests
from thorctl.checkpoint import quantize as quantizes
from thorctl.checkpoint import repair as repairs
from thorctl.checkpoint import split as splits
from thorctl.checkpoint.audit import Grade, Verdict
from thorctl.checkpoint.audit import audit as audited
from thorctl.checkpoint.llm_compressor import LlmCompressor
from thorctl.checkpoint.partial import require_free
from thorctl.checkpoint.source import Folder, Hub
from thorctl.cli.context import Context, pass_context
from thorctl.cli.group import CommandGroup
from thorctl.cli.lock import addresses
from thorctl.errors import ThorError
from thorctl.protocol.plural import counted, form
from thorctl.protocol.sizes import gigabytes
from thorctl.registry.hub import address_of
from thorctl.release.profile import Checkpoint
from thorctl.result import Problem, Result

if TYPE_CHECKING:
    from thorctl.checkpoint.audit import Audit
    from thorctl.checkpoint.reconcile import WeightError
    from thorctl.checkpoint.repair import Repaired

AUDIT_EPILOG = """\b
Examples:
  thorctl checkpoint audit ./Qwable-v1-NVFP4A16
  thorctl checkpoint audit sahilchachra/Qwable-v1-NVFP4A16          headers by range requests, no weights
  thorctl checkpoint audit sahilchachra/Qwable-v1-NVFP4A16@main --json
"""
REPAIR_EPILOG = """\b
Examples:
  thorctl checkpoint repair ./Qwable-v1-NVFP4A16 --out ./Qwable-v1-NVFP4A16-reconciled --dry-run
  thorctl checkpoint repair ./Qwable-v1-NVFP4A16 --out ./Qwable-v1-NVFP4A16-reconciled
"""
QUANTIZE_EPILOG = """\b
Examples:
  thorctl checkpoint quantize lordx64/Qwable-v1 --out ./Qwable-v1-NVFP4A16 --dry-run    headers only
  thorctl checkpoint quantize ./Qwable-v1 --out ./Qwable-v1-NVFP4A16
  thorctl checkpoint quantize ./Qwable-v1 --out ./Qwable-v1-NVFP4A16 --device cuda
"""
PUBLISH_EPILOG = """\b
Examples:
  thorctl checkpoint publish ./Qwable-v1-NVFP4A16-reconciled me/Qwable-v1-NVFP4A16-reconciled --tree /srv/hub
"""
HUB = "https://huggingface.co"


EPILOG = """\b
Examples:
  thorctl checkpoint audit sahilchachra/Qwable-v1-NVFP4A16    from the hub, by range requests
  thorctl checkpoint repair ./Qwable-v1-NVFP4A16 --out ./Qwable-v1-NVFP4A16-reconciled
  thorctl checkpoint quantize ./Qwable-v1 --out ./Qwable-v1-NVFP4A16
"""


@click.group("checkpoint", cls=CommandGroup, epilog=EPILOG)
def command() -> None:
    """Audit, repair, quantize or publish a checkpoint."""


@command.command(
    "audit", short_help="Judge a checkpoint by its card and by vLLM's names.", epilog=AUDIT_EPILOG
)
@click.argument("what", metavar="DIR|REPO[@REV]")
@click.option("--endpoint", default=HUB, show_default=True, help="Address of the hub of REPO.")
@click.option("--via", "pairs", multiple=True, metavar="NAME=URL", help="Reach a hub at another address.")
@pass_context
def audit(ctx: Context, what: str, endpoint: str, pairs: tuple[str, ...]) -> Result:
    """Compare a checkpoint with the model card's "What's quantized" and with what vLLM would load.

    Reads config, tokenizer, the headers of all shards and the global scales; from a hub by range requests.
    Ends with a verdict: serve it, repair it first, or do not serve it. Exit 0 for what serves well, also
    where a repair can wait; exit 1 for what should not be served, or could not be judged, with the reasons.
    """
    with contextlib.ExitStack() as stack:
        status = stack.enter_context(ctx.messages.status(f"Reading {escape(what)}"))
        source = stack.enter_context(_opened(what, endpoint, pairs))
        found = audited(source, lambda step: status.update(f"Reading {escape(what)}: {escape(step)}"))
    errors = problems(found)
    return Result(
        "checkpoint audit",
        {**asdict(found), "off": list(found.off)},
        errors,
        exit_code=1 if errors else 0,
        view=audit_view(found),
    )


@command.command("repair", short_help="Write a copy with shared global scales.", epilog=REPAIR_EPILOG)
@click.argument("original", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="New folder; its name becomes the checkpoint's.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
@pass_context
def repair(ctx: Context, original: Path, out: Path, dry_run: bool) -> Result:
    """Write a copy of DIR in which matrices that vLLM loads as one share their global scale.

    The FP8 block scales are rewritten; the FP4 weights stay, bit for bit. DIR is only read. A run that was
    stopped goes on where it was. The copy is read back and audited before it gets its name.
    """
    that = repairs.opened(Folder(original))
    data: dict[str, Any] = {
        "out": str(out),
        "groups": len(that.groups),
        "to_mend": len(that.differ),
        "worst_ratio": max(group.ratio for group in that.differ),
        "bytes": that.bytes,
        "written": False,
    }
    if dry_run:
        text = (
            f"{original.name}: {data['to_mend']} of {counted(data['groups'], 'fused group')} "
            f"{form(data['to_mend'], 'has', 'have')} global scales to repair"
            f"{_up_to(data['worst_ratio'])}.\nWould write {gigabytes(that.bytes)} to {out}; "
            f"{original} stays as it is."
        )
        return Result("checkpoint repair", data, view=text)
    with ctx.messages.status("Repairing") as status:
        done = repairs.repair(
            that,
            out,
            lambda step, at, total: status.update(f"{escape(step)}: {gigabytes(at)} of {gigabytes(total)}"),
        )
    data |= {"written": True, "resumed_files": done.resumed, **done.manifest.figures}
    data |= {"worst_error_before": done.before.worst, "worst_error_after": done.after.worst}
    return Result("checkpoint repair", data, view=repair_view(done, out))


@command.command(
    "quantize", short_help="Make an NVFP4A16 checkpoint from a BF16 one.", epilog=QUANTIZE_EPILOG
)
@click.argument("what", metavar="SOURCE")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="New folder; its name becomes the checkpoint's.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, from headers alone; write nothing.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, cuda:1, …")
@click.option(
    "--endpoint", default=HUB, show_default=True, help="Address of the hub of SOURCE, for --dry-run."
)
@click.option("--via", "pairs", multiple=True, metavar="NAME=URL", help="Reach a hub at another address.")
@pass_context
def quantize(
    ctx: Context,
    *,
    what: str,
    out: Path,
    dry_run: bool,
    device: str,
    endpoint: str,
    pairs: tuple[str, ...],
) -> Result:
    """Make an NVFP4A16 checkpoint with the model card's split from the BF16 one in the folder SOURCE.

    The arithmetic is llm-compressor's (the extra `quantize`: docs/how-to/checkpoint.md). Matrices that vLLM
    loads as one share their global scale from the start, so there is nothing to repair. SOURCE is only
    read. A run that was stopped goes on at the file where it was. The result is decoded, read back and
    audited before it gets its name. The same source, versions and device give the same bytes. --dry-run
    takes a repository too.
    """
    with contextlib.ExitStack() as stack:
        status = stack.enter_context(ctx.messages.status(f"Reading {escape(what)}"))
        source = stack.enter_context(_opened(what, endpoint, pairs))
        that = splits.split(source)
        data = quantize_view.planned(that, out)
        if dry_run:
            return Result("checkpoint quantize", data, view=quantize_view.plan(that, out))
        require_free(quantizes.require_local(source), out)
        status.update("Loading llm-compressor")
        quantizer = LlmCompressor(device)
        done = quantizes.quantize(
            that,
            out,
            quantizer,
            lambda step, at, total: status.update(f"{escape(step)}: {gigabytes(at)} of {gigabytes(total)}"),
        )
    data |= quantize_view.done(done)
    return Result("checkpoint quantize", data, view=quantize_view.report(done, out))


@command.command(
    "publish", short_help="Put a checkpoint into a hub mirror of your own.", epilog=PUBLISH_EPILOG
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--tree", required=True, type=click.Path(path_type=Path), help="The mirror's folder.")
@click.option("--revision", default="main", show_default=True, help="Branch or tag that will name it.")
@click.option("--as-it-is", is_flag=True, help="Publish although the audit rejects it.")
@pass_context
def publish(
    ctx: Context, *, folder: Path, repository: str, tree: Path, revision: str, as_it_is: bool
) -> Result:
    """Put the checkpoint DIR into a hub mirror of your own, from which devices and `thorctl lock` take it.

    The mirror is a folder that nginx serves (docs/how-to/checkpoint.md). DIR is checked against its manifest
    and audited first. Said twice it is said once; other repositories and older commits in the folder stay.
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
        f"{repository}@{revision} is {commit} in {tree}.\nA profile asks for it so:\n"
        f"  extends: PROFILE\n  checkpoint: {{repository: {repository}, revision: {revision}, "
        "endpoint: http://YOUR-MIRROR}"
    )
    return Result("checkpoint publish", data, view=text)


@contextlib.contextmanager
def _opened(what: str, endpoint: str, pairs: tuple[str, ...]) -> Any:
    """The folder of that name, else the repository."""
    folder = Path(what)
    if folder.is_dir() or what.startswith((".", "/", "~")):
        yield Folder(folder.expanduser())
        return
    repository, _, revision = what.partition("@")
    try:
        checkpoint = Checkpoint.model_validate(
            {"repository": repository, "revision": revision or "main", "endpoint": endpoint}
        )
    except ValueError as error:
        raise ThorError(
            "checkpoint_not_found",
            f"{what} is neither a folder nor a repository.",
            "Name a folder, or a repository as OWNER/NAME or OWNER/NAME@REVISION.",
        ) from error
    with Hub(checkpoint, address_of(checkpoint, addresses(pairs))) as found:
        yield found


def problems(found: Audit) -> tuple[Problem, ...]:
    """Why a checkpoint should not be served as it is."""
    errors = [
        Problem("checkpoint_off", one.line, one.remedy)
        for one in found.findings
        if one.grade >= Grade.REPAIR_FIRST
    ]
    if found.verdict is Verdict.NOT_JUDGED:
        remedy = "Try it on one device with a profile of its own, whose smoke test judges its answers."
        errors.append(Problem("checkpoint_not_judged", f"{found.name} is {found.advice}.", remedy))
    return tuple(errors)


def audit_view(found: Audit) -> Group:
    """The card's table as measured, the scales, the size, the verdict."""
    title = f"{found.name}: {found.dialect}; {found.layers} layers, {found.experts} experts each"
    table = Table(header_style="bold")
    table.add_column("what")
    table.add_column("format")
    for column in ("modules", "weights", "bytes"):
        table.add_column(column, justify="right")
    for row in found.rows:
        table.add_row(row.kind, row.format, f"{row.modules:,}", f"{row.weights:,}", gigabytes(row.bytes))
    lines: list[str | Text] = [
        (
            f"on disk {gigabytes(found.disk_bytes)}, as BF16 {gigabytes(found.bf16_bytes)} "
            f"({found.bf16_bytes / found.disk_bytes:.2f} ×)"
        ),
        "MTP head " + ("present" if found.mtp else "not there: speculation (switch `mtp`) is not possible"),
    ]
    for kind in found.fused:
        state = (
            (f"{counted(kind.differ, 'differs', 'differ')}, up to {kind.worst_ratio:.4g} ×", "red")
            if kind.differ
            else ("all agree", "green")
        )
        lines.append(Text.assemble(f"global scales, {kind.groups:,} {kind.kind}: ", state))
    lines += [
        Text(f"note: {one.line}. {one.remedy}") for one in found.findings if one.grade < Grade.REPAIR_FIRST
    ]
    good = found.verdict in {Verdict.SERVE, Verdict.REPAIR_LATER}
    lines.append(Text(found.advice, style="green" if good else "red"))
    return Group(Text(title, style="italic"), table, *lines)


def _up_to(ratio: float) -> str:
    """Nothing where only zero matrices were repaired: their scales have no ratio."""
    return f", up to {ratio:.3g} × apart" if ratio > 1 else ", all of them at zero matrices"


def _error(before: WeightError, after: WeightError) -> list[str | tuple[str, str]]:
    if not before.squared_weights:
        return ["all repaired matrices are zero: no weight changes"]
    return [
        f"weight error as vLLM reads them: {before.relative:.2%} before (worst group {before.worst:.1%}), ",
        (f"{after.relative:.2%}", "green"),
        f" after ({after.worst:.1%})",
    ]


def repair_view(done: Repaired, out: Path) -> Text:
    """What was mended and what it changed."""
    return Text.assemble(
        (str(out), "bold"),
        f": {done.mended} of {counted(done.groups, 'fused group')} repaired{_up_to(done.worst_ratio)}\n",
        *_error(done.before, done.after),
        (
            f"\n{counted(done.resumed, 'file was', 'files were')} there from an earlier run"
            if done.resumed
            else ""
        ),
    )
