"""``thorctl lock``: resolve a profile to exact bytes."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import click
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from thorctl import lock as locks
from thorctl import locking
from thorctl import profile as profiles
from thorctl.cli.context import Context, pass_context
from thorctl.errors import ThorError
from thorctl.result import Problem, Result
from thorctl.sim import state
from thorctl.sources import via as mapping

if TYPE_CHECKING:
    from thorctl.lock import Lock

EPILOG = """\b
Examples:
  thorctl lock tiny-qwable                 write deploy/locks/tiny-qwable.lock.json
  thorctl lock tiny-qwable --check         exit 1 if tag or branch have moved on since
  thorctl lock tiny-qwable --dry-run       show what would change
  thorctl lock my-model --platform linux/arm64 --via registry.lab:5000=http://10.0.0.5:5000
"""


@click.command("lock", epilog=EPILOG)
@click.argument("name", metavar="PROFILE")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the lock is not what would be written.")
@click.option("--dry-run", is_flag=True, help="Write nothing; show what would change.")
@click.option(
    "--via",
    "pairs",
    multiple=True,
    metavar="NAME=URL",
    help="Reach a registry or hub at another address. [default: those of the running simulation]",
)
@click.option(
    "--platform",
    type=click.Choice(["linux/amd64", "linux/arm64"]),
    help="The image's platform. [default: the device classes', this machine's where they have several]",
)
@pass_context
def command(
    ctx: Context, *, name: str, check: bool, dry_run: bool, pairs: tuple[str, ...], platform: str | None
) -> Result:
    """Resolve PROFILE to exact bytes: image digest, checkpoint commit, every file with size and SHA-256.

    Asks the registry and the hub, and writes deploy/locks/PROFILE.lock.json. Commit that file: devices run
    what it says, whatever tag and branch become later. Tokens come from `docker login`, `hf auth login` or
    HF_TOKEN.
    """
    profile = profiles.load(ctx.deploy, name)
    path = locks.path_of(ctx.deploy, name)
    before = existing(ctx, name)
    chosen = locking.platform_of(profile, ctx.deploy, platform)
    with contextlib.ExitStack() as stack:
        status = stack.enter_context(ctx.messages.status(f"Resolving {name}"))
        lock = locking.resolve(
            profile, chosen, addresses(pairs), lambda what: status.update(f"Resolving {escape(what)}")
        )
    changed = locks.changes(before, lock)
    written = bool(changed) and not check and not dry_run
    if written:
        locking.write(path, lock)
    data = {
        "path": str(path),
        "written": written,
        "changes": [{"key": key, "before": old, "after": new} for key, old, new in changed],
        "lock": lock.model_dump(mode="json"),
    }
    errors = (stale(name, before, len(changed)),) if check and changed else ()
    return Result(
        "lock", data, errors, exit_code=1 if errors else 0, view=view(lock, before, changed, written)
    )


def addresses(pairs: tuple[str, ...]) -> dict[str, str]:
    """Name -> URL: the running simulation's, overruled by ``--via``."""
    simulation = state.current()
    return {**(simulation.via if simulation else {}), **mapping.parse(pairs)}


def existing(ctx: Context, name: str) -> Lock | None:
    """The lock there is; None where there is none, or none that can be read, which the new one replaces."""
    try:
        return locks.load(ctx.deploy, name)
    except ThorError as error:
        if error.code == "lock_invalid":
            ctx.messages.print(f"The lock there is cannot be read: {escape(error.message)}")
        return None


def stale(name: str, before: Lock | None, count: int) -> Problem:
    """What ``--check`` says when the lock is not what would be written now."""
    message = (
        f"{count} entries of the lock are no longer what {name} resolves to."
        if before
        else "There is no lock."
    )
    return Problem("lock_stale", message, f"Write it anew and commit it: `thorctl lock {name}`.")


def view(
    lock: Lock, before: Lock | None, changed: list[tuple[str, str | None, str | None]], written: bool
) -> object:
    """What has changed, or that nothing has; a first lock as a whole."""
    image, checkpoint = lock.image, lock.checkpoint
    if not changed:
        return f"{lock.profile}: up to date ({short(image.digest)}, {short(checkpoint.commit)})."
    verb = "locked" if written else "would be locked"
    if before is None:
        return (
            f"{lock.profile}: {verb}\n"
            f"  image       {image.reference}, {image.platform}, {decimal(image.compressed_bytes)}\n"
            f"              {image.digest}\n"
            f"  checkpoint  {checkpoint.repository}, {checkpoint.revision} of {checkpoint.endpoint}\n"
            f"              {checkpoint.commit}, {len(checkpoint.files)} files, "
            f"{decimal(checkpoint.total_bytes)}"
        )
    table = Table(title=f"{lock.profile}: {verb}", title_justify="left", header_style="bold")
    table.add_column("key", overflow="fold")
    table.add_column("before", style="red", overflow="fold")
    table.add_column("now", style="green", overflow="fold")
    for key, old, new in changed:
        table.add_row(escape(key), escape(short(old or "–")), escape(short(new or "–")))
    return table


def short(text: str) -> str:
    """``text`` with every hash cut to its first 12 digits; --json has them whole."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b", r"\1…", text)
