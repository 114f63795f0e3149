"""The services of a simulation: an OCI registry and a hub mirror, filled once; a time server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import docker.types
import httpx
from docker.errors import NotFound

from thorctl.checkpoint import hub_tree
from thorctl.errors import ThorError
from thorctl.inventory.simulations import HUB, REGISTRY
from thorctl.sim import addresses, images, layout, registry
from thorctl.sim.image_inputs import ROOT
from thorctl.sim.report import timed

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from thorctl.sim.images import Report
    from thorctl.sim.state import Simulation

# Repository on the hub mirror -> folder with the checkpoint; a missing folder is not published.
CHECKPOINTS = {
    "thorctl/tiny-qwable": ROOT / "tiny-qwable" / "model",
    "thorctl/tiny-qwable-broken": ROOT / "tiny-qwable" / "broken",
    "thorctl/tiny-qwable-nvfp4a16": ROOT / "tiny-qwable" / "nvfp4a16",
}
READY_TIMEOUT_SECONDS = 60  # both answer within a second; a loaded machine may take longer
_POLL_SECONDS = 0.1


def ensure(client: DockerClient, simulation: Simulation, report: Report) -> None:
    """Start and fill registry and hub mirror; write their addresses into the state.

    Raises:
        ThorError: ``sim_service_not_ready``, or the errors of building, pushing and publishing.
    """
    image = images.ensure(client, "sim-origin", report).name
    with timed(report, "hub", HUB):
        simulation.hub_tree.mkdir(parents=True, exist_ok=True)
        for repository, folder in CHECKPOINTS.items():
            if (folder / "config.json").exists():
                hub_tree.publish(simulation.hub_tree, repository, folder)
        _run(client, simulation, image, "hub")
        simulation.hub_address = addresses.hub_address(simulation.subnet)
        simulation.save()
        _wait(f"{simulation.via[HUB]}/api/models/thorctl/tiny-qwable", "hub")
    with timed(report, "registry", REGISTRY):
        container = _run(client, simulation, image, "registry")
        simulation.registry_address = addresses.registry_address(simulation.subnet)
        simulation.push_port = _published_port(container)
        simulation.save()
        _wait(f"{simulation.via[REGISTRY]}/v2/", "registry")
    if simulation.virtual:  # containers have the host's clock
        with timed(report, "time server", layout.TIME):
            _run(client, simulation, image, "time")
    if simulation.containers:  # virtual machines have another architecture than the engine's image
        _fill_registry(client, simulation, report)


def _fill_registry(client: DockerClient, simulation: Simulation, report: Report) -> None:
    engine = images.ensure(client, "cpu-vllm", report)
    url = simulation.via[REGISTRY]
    if registry.holds(url, registry.ENGINE_REPOSITORY, registry.ENGINE_TAG, engine.id):
        return
    assert simulation.push_port is not None  # noqa: S101 - set one step earlier
    step = "push the engine's image"
    with timed(report, step, f"{registry.ENGINE_REPOSITORY}:{registry.ENGINE_TAG}"):
        registry.push(
            client,
            engine.id,
            registry.ENGINE_REPOSITORY,
            registry.ENGINE_TAG,
            port=simulation.push_port,
            on_progress=lambda done: report(step, done, None),
        )


def _run(client: DockerClient, simulation: Simulation, image: str, part: str) -> Container:
    name = layout.container(simulation.name, part)
    try:
        container = client.containers.get(name)
    except NotFound:
        network = layout.network(simulation.name)
        alias, address, options = _options(client, simulation, part)
        endpoint = client.api.create_endpoint_config(ipv4_address=address, aliases=[alias])
        container = client.containers.create(
            image,
            name=name,
            labels={layout.LABEL: simulation.name},
            network=network,
            networking_config={network: endpoint},
            restart_policy={"Name": "unless-stopped"},  # type: ignore[arg-type]  # unknown to the stubs
            **options,
        )
    if container.status != "running":
        container.start()
    container.reload()
    return container


def _options(client: DockerClient, simulation: Simulation, part: str) -> tuple[str, str, dict[str, Any]]:
    """Return alias, address and the other options of a service's container."""
    if part == "hub":
        tree = docker.types.Mount("/srv/hub", str(simulation.hub_tree), type="bind", read_only=True)
        return HUB, addresses.hub_address(simulation.subnet), {"command": ["hub"], "mounts": [tree]}
    if part == "time":
        return layout.TIME, addresses.time_address(simulation.subnet), {"command": ["time"]}
    # Shared by all simulations, as images are: the engine image is pushed once.
    client.volumes.create(layout.REGISTRY_VOLUME, labels={layout.CACHE_LABEL: "registry"})
    content = docker.types.Mount("/var/lib/registry", layout.REGISTRY_VOLUME, type="volume")
    alias = REGISTRY.partition(":")[0]
    options = {
        "command": ["registry", "serve"],
        "mounts": [content],
        "ports": {"5000/tcp": ("127.0.0.1", None)},
    }
    return alias, addresses.registry_address(simulation.subnet), options


def _published_port(container: Container) -> int:
    return int(container.attrs["NetworkSettings"]["Ports"]["5000/tcp"][0]["HostPort"])


def _wait(url: str, what: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    reason = ""
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(url, timeout=5, trust_env=False)
        except httpx.TransportError as error:
            reason = str(error)
        else:
            if answer.status_code == httpx.codes.OK:
                return
            reason = f"HTTP {answer.status_code}"
        time.sleep(_POLL_SECONDS)
    raise ThorError(
        "sim_service_not_ready",
        f"The simulation's {what} did not answer at {url} within {READY_TIMEOUT_SECONDS} s: {reason}",
        f"Read `docker logs` of the container thorctl-…-{what}, then start over: `thorctl sim down` "
        "and `thorctl sim up`.",
    )
