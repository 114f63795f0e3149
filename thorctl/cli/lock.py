"""``thorctl lock``: resolve a profile to exact bytes."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
from rich.markup import escape
from rich.text import Text

from thorctl.cli.context import Context, pass_context
from thorctl.errors import ThorError
from thorctl.inventory.simulations import HUB, REGISTRY
from thorctl.inventory.upstreams import upstreams
from thorctl.protocol.plural import counted
from thorctl.protocol.sizes import gigabytes
from thorctl.registry import address_overrides as mapping
from thorctl.registry import resolve
from thorctl.release import licenses
from thorctl.release import lock as locks
from thorctl.release import profile as profiles
from thorctl.release.lock_diff import Movement, movements, short
from thorctl.release.render import require_options
from thorctl.result import Problem, Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.release.lock import Lock
    from thorctl.release.profile import Profile

EPILOG = """\b
Examples:
  thorctl lock tiny-qwable                 write deploy/locks/tiny-qwable.lock.json
  thorctl lock tiny-qwable --check         compare with upstream; exit 1 if anything differs
  thorctl lock tiny-qwable --dry-run       show what would be locked
  thorctl lock qwable-v1-nvfp4a16-upstream --accept-license AGPL-3.0-only
  thorctl lock my-model --platform linux/arm64 --via registry.lab:5000=http://10.0.0.5:5000
"""


@click.command("lock", epilog=EPILOG)
@click.argument("name", metavar="PROFILE")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the lock differs from a new one.")
@click.option("--dry-run", is_flag=True, help="Write nothing; show what would change.")
@click.option(
    "--accept-license",
    "accepted",
    multiple=True,
    metavar="LICENSE",
    help="Accept the checkpoint's licence, by its name. [default: asked on a terminal; stored in the lock]",
)
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
    help="Platform of the image. [default: the device classes', this machine's if they have several]",
)
@pass_context
def command(
    ctx: Context,
    *,
    name: str,
    check: bool,
    dry_run: bool,
    accepted: tuple[str, ...],
    pairs: tuple[str, ...],
    platform: str | None,
) -> Result:
    """Resolve PROFILE to exact bytes: image digest, checkpoint commit, every file with size and SHA-256.

    Queries the registry and the hub, and writes deploy/locks/PROFILE.lock.json. Commit that file: devices run
    its content, whatever tag and branch become later. Tokens come from `docker login`, `hf auth login` or
    HF_TOKEN.

    A licence that requires more than attribution has to be accepted once; the lock records it.
    """
    profile = profiles.load(ctx.deploy, name)
    path = locks.path_of(ctx.deploy, name)
    before, unusable = existing(ctx, name)
    chosen = resolve.platform_of(profile, ctx.deploy, platform)
    licenses.acceptance(profile.license, None, accepted)  # rejects a wrong name before the network is used
    warnings: list[str] = []

    def warn(what: str) -> None:
        warnings.append(what)
        ctx.messages.print(Text.assemble(("warning ", "bold yellow"), what), soft_wrap=True)

    known = addresses(pairs)
    require_simulation(profile, known)
    with contextlib.ExitStack() as stack:
        status = stack.enter_context(ctx.messages.status(f"Resolving {name}"))
        found = resolve.resolve(
            profile,
            chosen,
            known,
            lambda what: status.update(f"Resolving {escape(what)}"),
            warn,
        )
    lock = resolve.accepted(found, profile, before, accepted)
    if not check:
        options = {name: value for name, value in profile.options.items() if name != "port"}
        require_options(profile, lock, options)
    objection = objection_to(profile, lock)
    if objection and not check and not dry_run:
        if not (objection.code == "license_not_accepted" and agreed(ctx, profile)):
            raise objection
        lock, objection = resolve.accepted(found, profile, before, [profile.license]), None
    changed = locks.changes(before, lock)
    written = bool(changed) and not check and not dry_run
    if written:
        resolve.write(path, lock)
    moved = movements(before, lock, gigabytes) if before else []
    errors = problems(name, before, unusable, len(changed), objection) if check else ()
    data = {
        "path": str(path),
        "written": written,
        "changes": [{"key": key, "before": old, "after": new} for key, old, new in changed],
        "moved": [asdict(movement) for movement in moved],
        "license": {
            "profile": profile.license,
            **lock.license.model_dump(mode="json"),
            "problem": objection.code if objection else None,
        },
        "lock": lock.model_dump(mode="json"),
        "warnings": warnings,
    }
    shown = view(profile, lock, before, moved, changed=bool(changed), written=written)
    if objection and dry_run:
        ctx.messages.print(Text.assemble((objection.message, "yellow"), f" {objection.remedy}"))
    return Result("lock", data, errors, exit_code=1 if errors else 0, view=shown)


def addresses(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return name -> URL: the running simulation's, overridden by ``--via``."""
    return upstreams() | mapping.parse(pairs)


def require_simulation(profile: Profile, known: Mapping[str, str]) -> None:
    """Reject a profile whose registry or hub is a simulation's if none is running.

    Raises:
        ThorError: ``simulation_missing``.
    """
    names = (profile.image.reference.partition("/")[0], urlsplit(profile.checkpoint.endpoint).netloc)
    absent = [name for name in names if name in {REGISTRY, HUB} and name not in known]
    if absent:
        raise ThorError(
            "simulation_missing",
            f"{profile.name} uses {' and '.join(absent)}, of simulated devices, and none are running.",
            "Start them: `make demo`, or `thorctl sim up`; or name an address: --via NAME=URL.",
        )


def existing(ctx: Context, name: str) -> tuple[Lock | None, ThorError | None]:
    """Return the present lock, or its error: the new one replaces it. Neither: there is none.

    Raises:
        ThorError: ``lock_unreadable``, ``file_too_large``.
    """
    try:
        return locks.load(ctx.deploy, name), None
    except ThorError as error:
        if error.code not in {"lock_missing", "lock_invalid", "lock_edited"}:
            raise
        if error.code == "lock_missing":
            return None, None
        ctx.messages.print(f"The present lock cannot be used: {error.message}")
        return None, error


def objection_to(profile: Profile, lock: Lock) -> ThorError | None:
    """Return the error of this lock's licence; None if there is none."""
    try:
        locks.require_license(profile, lock)
    except ThorError as error:
        return error
    return None


def agreed(ctx: Context, profile: Profile) -> bool:
    """Ask for the licence's acceptance, on a terminal."""
    if ctx.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    question = (
        f"{profile.checkpoint.repository} is under {licenses.described(profile.license)}.\n"
        f"Its terms: {profile.checkpoint.endpoint}/{profile.checkpoint.repository}\n"
        "Do you accept these terms on behalf of your organisation? The answer is stored in the lock"
    )
    return click.confirm(question, default=False, err=True)


def problems(
    name: str, before: Lock | None, unusable: ThorError | None, count: int, objection: ThorError | None
) -> tuple[Problem, ...]:
    """Return the problems of ``--check``: a lock that differs from a new one, or may not be used."""
    found = []
    if unusable:
        found.append(Problem.of(unusable))
    elif before is None:
        found.append(
            Problem(
                "lock_stale", "The profile has no lock.", f"Write it and commit it: `thorctl lock {name}`."
            )
        )
    elif count:
        differ = counted(count, "entry of the lock differs", "entries of the lock differ")
        message = f"{differ} from what {name} resolves to now."
        found.append(Problem("lock_stale", message, f"Write it again and commit it: `thorctl lock {name}`."))
    if objection:
        found.append(Problem.of(objection))
    return tuple(found)


def view(
    profile: Profile,
    lock: Lock,
    before: Lock | None,
    moved: list[Movement],
    *,
    changed: bool,
    written: bool,
) -> str:
    """Format the differences, or that there are none; a first lock in full."""
    image, checkpoint = lock.image, lock.checkpoint
    if not changed:
        return f"{lock.profile}: up to date ({short(image.digest)}, {short(checkpoint.commit)})."
    verb = "locked" if written else "would be locked"
    if before is None:
        return (
            f"{lock.profile}: {verb}\n"
            f"  image       {image.reference}, {image.platform}, {gigabytes(image.compressed_bytes)}\n"
            f"              {image.digest}\n"
            f"              vLLM {image.vllm_version or 'of an unknown version'}\n"
            f"  checkpoint  {checkpoint.repository}, {checkpoint.revision} of {checkpoint.endpoint}\n"
            f"              {checkpoint.commit}, {counted(len(checkpoint.files), 'file')}, "
            f"{gigabytes(checkpoint.total_bytes)}\n"
            f"  license     {licenses.told(profile.license, lock.license.hub, lock.license.accepted)}"
        )
    rows = [f"  {movement.what:<10}  {movement.sentence}" for movement in moved]
    return "\n".join([f"{lock.profile}: {verb}", *rows])
