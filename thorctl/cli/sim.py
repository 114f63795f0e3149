"""``thorctl sim``: simulated devices on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click
from docker.errors import DockerException
from docker.utils import parse_bytes

from thorctl.cli.context import pass_context
from thorctl.cli.group import CommandGroup
from thorctl.errors import ThorError
from thorctl.inventory import simulations
from thorctl.remote import docker_engine
from thorctl.result import Result
from thorctl.sim import down, layout, overview, power, state, up
from thorctl.sim.image_inputs import DOCKERS
from thorctl.sim.report import timed
from thorctl.ui.progress import StepProgress

if TYPE_CHECKING:
    from thorctl.cli.context import Context
    from thorctl.sim.image_inputs import Docker

MIN_DISK_BYTES = 1 << 20

name_option = click.option(
    "--name", metavar="NAME", help="Name of the simulation. [default: $THORCTL_SIM, else demo]"
)


class Size(click.ParamType[int]):
    """A number of bytes: ``512m``, ``3g``."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes, or raise a usage error."""
        try:
            size = int(parse_bytes(str(value)))
        except (ValueError, TypeError, DockerException):
            self.fail(f"{value!r} is not a size; write 512m or 3g", param, ctx)
        if size < MIN_DISK_BYTES:
            self.fail(f"{value!r} is too small; at least 1m", param, ctx)
        return size


@click.group(cls=CommandGroup)
def command() -> None:
    """Run simulated devices: containers with systemd, sshd and a Docker engine, or virtual machines.

    \b
    thorctl sim up --devices 3       three containers: fast, with the real vLLM
    thorctl sim up --vms 1           an aarch64 machine under QEMU: own kernel, real reboot and power failure
    thorctl sim cut thor-vm-01       cut its power, and switch it on again
    """


@command.command(
    name="up",
    epilog="""\b
Examples:
  thorctl sim up                                one container
  thorctl sim up --devices 3 --sites oslo,lab   three, distributed over two sites
  thorctl sim up --vms 1                        a virtual Thor in addition
  thorctl sim up --docker 28.5 --image-store containerd
""",
)
@click.option(
    "--devices",
    "count",
    type=click.IntRange(min=1),
    help="Number of containers. [default: unchanged; else 1, or none with --vms]",
)
@click.option("--vms", type=click.IntRange(min=1), help="Number of virtual Thors. [default: unchanged]")
@name_option
@click.option(
    "--sites",
    metavar="A,B",
    default=up.DEFAULT_SITE,
    show_default=True,
    help="Sites of the devices, in turn.",
)
@click.option(
    "--disk", type=Size(), help="Size of new devices' /var/lib/thor (in memory, so a reboot empties it)."
)
@click.option(
    "--docker",
    type=click.Choice(DOCKERS),
    default=state.DEFAULT_DOCKER,
    show_default=True,
    help="Docker release, and so the system, of new containers: 20.10 on Debian 12, 26.1 on Debian 13, "
    "28.5 of Debian unstable on Debian 13.",
)
@click.option(
    "--image-store",
    type=click.Choice(get_args(state.ImageStore)),
    default="classic",
    show_default=True,
    help="Image store of new containers' Docker: `classic` (storage drivers) or `containerd` (snapshotters, "
    "the default of a fresh Docker 29).",
)
@pass_context
def up_command(
    context: Context,
    *,
    count: int | None,
    vms: int | None,
    name: str | None,
    sites: str,
    disk: int | None,
    docker: Docker,
    image_store: state.ImageStore,
) -> Result:
    """Start a simulation, or add devices to it."""
    chosen = simulations.chosen_name(name)
    present = state.find(chosen)
    virtual = vms or (len(present.virtual) if present else 0)
    wanted = count or (len(present.containers) if present else 0) or (0 if virtual else 1)
    client = docker_engine.connect()
    with StepProgress(context.messages) as progress:
        simulation = up.up(
            client,
            chosen,
            wanted,
            progress,
            sites=layout.checked_sites(sites),
            options=up.ContainerOptions(disk_bytes=disk, docker=docker, image_store=image_store),
            virtual=virtual,
        )
    return Result(
        "sim", {"simulation": overview.summary(simulation, client)}, view=overview.table([simulation], client)
    )


@command.command(
    name="down",
    epilog="""\b
Examples:
  thorctl sim down
  thorctl sim down --all --images    remove everything of all simulations
""",
)
@name_option
@click.option("--all", "everything", is_flag=True, help="Remove every simulation of this machine.")
@click.option("--images", is_flag=True, help="Also remove the images, once no simulation is left.")
@pass_context
def down_command(context: Context, name: str | None, everything: bool, images: bool) -> Result:
    """Remove the devices, volumes, network and state of a simulation. Images are kept."""
    client = docker_engine.connect()
    removed = {}
    with StepProgress(context.messages) as progress:
        for victim in down.everything(client) if everything else [simulations.chosen_name(name)]:
            removed[victim] = down.down(client, victim, progress)
        left = down.everything(client)
        if images and left:
            raise ThorError(
                "images_in_use",
                f"The images are used by {', '.join(left)} and were kept.",
                "Remove all: `thorctl sim down --all --images`.",
            )
        objects = down.remove_images(client, progress) if images else 0
    return Result("sim", {"removed": removed, "removed_images": objects})


@command.command(
    name="list",
    epilog="""\b
Examples:
  thorctl sim list
  thorctl sim list --json | jq -r '.data.simulations[].name'
""",
)
@pass_context
def list_command(context: Context) -> Result:  # noqa: ARG001 - click's signature
    """Show the simulations on this machine. Changes nothing."""
    client = docker_engine.connect()
    found = [state.load(name) for name in simulations.names()]
    stray = sorted(set(down.everything(client)) - set(simulations.names()))
    data = {"simulations": [overview.summary(s, client) for s in found], "strays": stray}
    view = overview.table(found, client) if found else "No simulation. Start one: thorctl sim up"
    return Result("sim", data, view=view)


@command.command(
    name="inventory",
    epilog="""\b
Examples:
  ansible-inventory -i "$(thorctl sim inventory)" --graph
  thorctl sim inventory --yaml > hosts.yml
""",
)
@name_option
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the content instead of the path.")
@pass_context
def inventory_command(context: Context, name: str | None, as_yaml: bool) -> Result:  # noqa: ARG001
    """Print the path of a simulation's Ansible inventory."""
    simulation = state.load(name)
    content = simulation.inventory.read_text(encoding="utf-8")
    view = content.rstrip("\n") if as_yaml else str(simulation.inventory)
    return Result("sim", {"path": str(simulation.inventory), "yaml": content}, view=view)


@command.command(
    name="reboot",
    epilog="""\b
Examples:
  thorctl sim reboot thor-01
""",
)
@click.argument("device")
@name_option
@pass_context
def reboot_command(context: Context, device: str, name: str | None) -> Result:
    """Reboot a device: every unit is stopped first."""
    simulation = state.load(name)
    chosen = simulation.device(device)
    with StepProgress(context.messages) as progress, timed(progress, "reboot", device):
        power.reboot(docker_engine.connect(), simulation.name, chosen)
    return Result("sim", {"device": device})


@command.command(
    name="cut",
    epilog="""\b
Examples:
  thorctl sim cut thor-01               off and on again
  thorctl sim cut thor-01 --stay-off    until the next `thorctl sim up`
""",
)
@click.argument("device")
@click.option("--stay-off", is_flag=True, help="Leave it off; `thorctl sim up` switches it on again.")
@name_option
@pass_context
def cut_command(context: Context, device: str, stay_off: bool, name: str | None) -> Result:
    """Cut a device's power: every process dies at once. Then switch it on again."""
    simulation = state.load(name)
    chosen = simulation.device(device)
    client = docker_engine.connect()
    with StepProgress(context.messages) as progress, timed(progress, "power cut", device):
        power.cut(client, simulation.name, chosen)
        if not stay_off:
            power.power_on(client, simulation.name, chosen)
    return Result("sim", {"device": device, "on": not stay_off})
