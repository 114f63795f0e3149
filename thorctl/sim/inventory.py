"""Build the Ansible inventory of a simulation, and its known_hosts."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from thorctl.inventory.simulations import REGISTRY
from thorctl.sim import layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.sim.state import Simulation

PROFILE = "tiny-qwable"
SSH_PORT = 22
DEVICE_CLASSES = {"container": "simulated-container", "virtual": "simulated-vm"}


def inventory(simulation: Simulation) -> dict[str, Any]:
    """Return group ``thor`` with a group per site; variables as in docs/reference/interfaces.md, Ansible."""
    sites: dict[str, Any] = {}
    for device in simulation.devices:
        group = sites.setdefault(
            f"site_{device.site.replace('-', '_')}", {"vars": {"thor_site": device.site}, "hosts": {}}
        )
        group["hosts"][device.name] = {
            "ansible_host": device.address,
            "ansible_port": device.port,
            "thor_device_class": DEVICE_CLASSES[device.kind],
        }
        if device.kind == "virtual":  # a container's clock is its host's
            group["hosts"][device.name]["thor_time_servers"] = [layout.TIME]
    return {
        "thor": {
            "vars": {
                "ansible_user": layout.USER,
                "ansible_become": True,
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_ssh_private_key_file": str(simulation.private_key),
                "thor_known_hosts_file": str(simulation.known_hosts),
                "ansible_ssh_common_args": (
                    f"-o UserKnownHostsFile='{simulation.known_hosts}' -o StrictHostKeyChecking=yes"
                ),
                "thor_profile": PROFILE,
                "thor_docker_insecure_registries": [REGISTRY],
            },
            "children": sites,
        }
    }


def to_yaml(document: Mapping[str, Any]) -> str:
    """Format the document as YAML, with its author in the first line."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    yaml.dump(dict(document), out)
    return f"---\n# Written by `thorctl sim up`: changes here are lost.\n{out.getvalue()}"


def known_hosts(keys: Mapping[tuple[str, int], str]) -> str:
    """Return known_hosts(5) from (address, port) → public key (``ssh-ed25519 AAAA… comment``)."""
    return "".join(
        f"{address if port == SSH_PORT else f'[{address}]:{port}'} {' '.join(key.split()[:2])}\n"
        for (address, port), key in keys.items()
    )
