"""``thorctl edge``: authority, certificates and keys of the edge in front of the engines."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from thorctl.cli.context import Context, pass_context
from thorctl.cli.devices import chosen_devices, inventory_path
from thorctl.cli.group import CommandGroup
from thorctl.cli.output import fit
from thorctl.edge import authority, issue, keys, vaulted
from thorctl.edge.pki import Pki
from thorctl.errors import ThorError
from thorctl.result import Result

if TYPE_CHECKING:
    from thorctl.edge.authority import Pair
    from thorctl.inventory.devices import Device

CA_DAYS = 3650
pki_option = click.option(
    "--pki",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the authority and the certificates. [default: pki/ beside the inventory's folder]",
)
passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="File with the passphrase of the authority's key. [default: asked for on a terminal]",
)


@click.group(cls=CommandGroup)
def command() -> None:
    """Manage the authority, certificates and API keys of the edge, which is in front of every engine.

    \b
    From the start to a served request:
      thorctl edge ca init
      thorctl edge cert
      thorctl edge keys new alice        put its output, vaulted, into thor_edge_keys
      ansible-playbook edge.yml          in playbooks/; repeat after every change
    """


@command.group()
def ca() -> None:
    """Manage the fleet's own certificate authority."""


@ca.command(
    name="init",
    epilog="""\b
Examples:
  thorctl edge ca init
  thorctl edge ca init --name "Berlin lab" --passphrase-file ~/.ca-passphrase
  thorctl edge ca init --permit fleet.example.com --permit 10.0.0.0/8
""",
)
@click.option("--name", default="thorctl edge CA", show_default=True, help="Common name.")
@click.option("--days", type=click.IntRange(1), default=CA_DAYS, show_default=True, help="Validity, in days.")
@click.option(
    "--permit",
    "permitted",
    multiple=True,
    metavar="DOMAIN|NETWORK",
    help="DNS domain, address or network (CIDR) that the authority may sign for. [default: any]",
)
@passphrase_option
@click.option("--no-passphrase", is_flag=True, help="Store the private key without a passphrase.")
@pki_option
@pass_context
def init(
    context: Context,
    *,
    name: str,
    days: int,
    permitted: tuple[str, ...],
    passphrase_file: Path | None,
    no_passphrase: bool,
    pki: Path | None,
) -> Result:
    """Create an authority. An existing one is never replaced.

    With its key, anyone can impersonate any host to its clients: the key has a passphrase, and --permit
    limits the names that its certificates are accepted for.
    """
    if no_passphrase and passphrase_file:
        raise click.UsageError("--no-passphrase and --passphrase-file exclude each other.")
    store = store_of(context, pki)
    passphrase = None if no_passphrase else secret_of(passphrase_file) or asked(context, new=True)
    pair = authority.new_authority(name, now(), days, passphrase, permitted)
    store.create_authority(pair)
    path = store.ca_certificate
    return Result(
        "edge",
        {"ca_certificate": str(path), "expires": expiry(pair)},
        view=f"{path}\nInstall this file on clients; keep ca.key beside it secret. Next: thorctl edge cert",
    )


@command.command(
    name="cert",
    epilog="""\b
Examples:
  thorctl edge cert                  missing ones, and those that end within 60 days
  thorctl edge cert thor-01 --force  a new one in any case
  thorctl edge cert --dry-run        the present ones, and those that would be issued
""",
)
@click.argument("devices", nargs=-1)
@click.option(
    "--days", type=click.IntRange(1), default=issue.DAYS, show_default=True, help="Validity, in days."
)
@click.option(
    "--renew-before",
    type=click.IntRange(0),
    default=issue.RENEW_BEFORE_DAYS,
    show_default=True,
    help="Replace certificates that end within this time, in days.",
)
@click.option(
    "--san", "sans", multiple=True, metavar="NAME", help="Further name or address of every certificate."
)
@click.option("--force", is_flag=True, help="Replace valid certificates too.")
@click.option("--dry-run", is_flag=True, help="Show what would be issued; issue nothing.")
@passphrase_option
@pki_option
@pass_context
def cert(
    context: Context,
    *,
    devices: tuple[str, ...],
    days: int,
    renew_before: int,
    sans: tuple[str, ...],
    force: bool,
    dry_run: bool,
    passphrase_file: Path | None,
    pki: Path | None,
) -> Result:
    """Issue the missing and expiring certificates of devices.

    A certificate is valid for the device's name, its ansible_host and thor_edge_names. edge.yml (or site.yml)
    installs it; a running edge reloads it without losing a request.
    """
    store = store_of(context, pki)
    root, passphrase, rows = store.authority(), secret_of(passphrase_file), []
    if passphrase is None and not dry_run and authority.is_locked(root.private_key):
        passphrase = asked(context, new=False)
    for device in chosen_devices(context, devices):
        names = names_of(device, sans)
        verdict = issue.judge(store.device(device.name), root.certificate, names, now(), renew_before)
        reason = verdict.reason or ("asked for" if force else None)
        expires = verdict.expires
        if reason and not dry_run:
            pair = authority.new_certificate(
                root, device.name, names, now=now(), days=days, passphrase=passphrase
            )
            store.keep(device.name, pair)
            expires = authority.read(pair.certificate).not_valid_after_utc
        rows.append(row(device, names, reason, expires, dry_run=dry_run))
    return Result("edge", {"pki": str(store.folder), "devices": rows}, view=fit(view(rows)))


@command.group(name="keys")
def keys_group() -> None:
    """Manage API keys."""


@keys_group.command(
    name="new",
    epilog="""\b
Examples:
  thorctl edge keys new alice
  thorctl edge keys new alice | ansible-vault encrypt_string --stdin-name alice
  thorctl edge keys new alice --vault-password-file ~/.vault      the key, and its vaulted form to paste
""",
)
@click.argument("name")
@click.option(
    "--vault-password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also print the key encrypted by ansible-vault with the password in this file.",
)
@pass_context
def new(context: Context, *, name: str, vault_password_file: Path | None) -> Result:
    """Generate a key for NAME and print it once: it is not stored.

    Give the key to the client, and put its vaulted form into the inventory's thor_edge_keys, from where
    edge.yml installs it on the devices.
    """
    key = keys.new_key()
    block = f"{name}: {vaulted.encrypted(key, vault_password_file)}".rstrip() if vault_password_file else None
    if block:
        context.messages.print(
            "The key for the client, and below it the entry for thor_edge_keys in the inventory:"
        )
    return Result(
        "edge", {"name": name, "key": key, "vaulted": block}, view=f"{key}\n\n{block}" if block else key
    )


def store_of(context: Context, pki: Path | None) -> Pki:
    """Return the named folder, else the one beside the inventory's, which thor_edge uses too."""
    if pki is not None:
        return Pki(pki)
    return Pki.beside(inventory_path(context))


def secret_of(file: Path | None) -> bytes | None:
    """Return the content of a passphrase file, without the line end."""
    if file is None:
        return None
    found = file.read_bytes().strip()
    if not found:
        raise ThorError("passphrase_empty", f"{file} is empty.", "Put the passphrase into it.")
    return found


def asked(context: Context, *, new: bool) -> bytes:
    """Ask for the passphrase.

    Raises:
        ThorError: ``passphrase_missing`` without a terminal.
    """
    if context.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ThorError(
            "passphrase_missing",
            "The authority's key needs a passphrase, and there is no terminal to ask for it.",
            "Name its file: --passphrase-file FILE"
            + (", or store the key without: --no-passphrase." if new else "."),
        )
    words: str = click.prompt(
        "Passphrase of the authority's key", hide_input=True, confirmation_prompt=new, err=True
    )
    return words.encode()


def names_of(device: Device, further: tuple[str, ...]) -> list[str]:
    """Return the names for clients: name, address, the inventory's thor_edge_names, and ``further``."""
    return list(dict.fromkeys([device.name, device.host, *device.edge_names, *further]))


def row(
    device: Device, names: list[str], reason: str | None, expires: dt.datetime | None, *, dry_run: bool
) -> dict[str, object]:
    """Return one device of the result."""
    return {
        "name": device.name,
        "names": names,
        "action": ("would be issued" if dry_run else "issued") if reason else "kept",
        "reason": reason,
        "expires": expires.isoformat() if expires else None,
    }


def view(rows: list[dict[str, object]]) -> Table:
    """Format the devices as a table."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("DEVICE", "CERTIFICATE", "WHY", "GOOD UNTIL", "VALID FOR"):
        table.add_column(title, overflow="fold")
    for one in rows:
        names = one["names"]
        assert isinstance(names, list)  # noqa: S101 - made above
        table.add_row(
            str(one["name"]),
            str(one["action"]),
            str(one["reason"] or "–"),
            str(one["expires"] or "–")[:10],
            ", ".join(names),
        )
    return table


def expiry(pair: Pair) -> str:
    """Return the end of a certificate, RFC 3339."""
    return authority.read(pair.certificate).not_valid_after_utc.isoformat()


def now() -> dt.datetime:
    """Return this machine's time."""
    return dt.datetime.now(dt.UTC)
