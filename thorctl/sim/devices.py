"""Run container devices: create, boot, reboot, cut the power, remove."""

from __future__ import annotations

import io
import json
import tarfile
import time
from typing import TYPE_CHECKING, cast

from docker.errors import APIError, NotFound

from thorctl.errors import ThorError
from thorctl.sim import confinement, layout
from thorctl.sim.device_container import ENGINE_VOLUMES, container_config

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from thorctl.sim.state import Device

BOOT_TIMEOUT_SECONDS = 120  # boots in about 2 s; a loaded machine may take much longer
SHUTDOWN_TIMEOUT_SECONDS = 90  # for an engine's stop time-out; then the container is killed
HOST_KEY_TIMEOUT_SECONDS = 30  # the key exists once a device has booted
_POLL_SECONDS = 0.25
_MAX_RESTARTS = 2  # a regular reboot is one; more are failed boots
_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


def ensure(client: DockerClient, device: Device, *, simulation: str, image: str, authorized_key: str) -> bool:
    """Run the device's container, created or started as needed. Return True if anything was done.

    Raises:
        ThorError: ``sim_device_not_created``.
    """
    name = layout.container(simulation, device.name)
    try:
        container = client.containers.get(name)
    except NotFound:
        container = _create(client, device, simulation, image, authorized_key)
    if container.status == "running":
        return False
    container.start()
    return True


def _create(
    client: DockerClient, device: Device, simulation: str, image: str, authorized_key: str
) -> Container:
    labels = {layout.LABEL: simulation}
    kinds = [*ENGINE_VOLUMES] if device.disk_bytes is not None else [*ENGINE_VOLUMES, "state"]
    for kind in kinds:
        client.volumes.create(layout.volume(simulation, device.name, kind), labels=labels)
    version = confinement.cgroup_version()
    config = container_config(device, simulation=simulation, image=image, cgroup_version=version)
    name = layout.container(simulation, device.name)
    try:
        made = client.api.create_container_from_config(config, name=name)  # type: ignore[no-untyped-call]  # not in the stubs
    except APIError as error:
        raise ThorError(
            "sim_device_not_created",
            f"The Docker engine refused the container of {device.name}: {error.explanation}.",
            f"Remove what is left with `thorctl sim down --name {simulation}`, then try again.",
            device=device.name,
        ) from None
    container = client.containers.get(made["Id"])
    keys = _file("authorized_keys", authorized_key, mode=0o600, owner=1000)
    container.put_archive(f"/home/{layout.USER}/.ssh", keys)
    if device.image_store == "containerd":
        settings = json.dumps({"features": {"containerd-snapshotter": True}}, indent=2) + "\n"
        container.put_archive("/etc", _file("docker/daemon.json", settings, mode=0o644))
    return container


def _file(name: str, text: str, *, mode: int, owner: int = 0) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        content = text.encode()
        entry.size, entry.mode, entry.uid, entry.gid = len(content), mode, owner, owner
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def get(client: DockerClient, simulation: str, device: str) -> Container:
    """Return the device's container.

    Raises:
        ThorError: ``sim_device_missing``.
    """
    try:
        return client.containers.get(layout.container(simulation, device))
    except NotFound:
        raise ThorError(
            "sim_device_missing",
            f"The container of {device} does not exist.",
            f"Make it again, empty: `thorctl sim up --name {simulation}`.",
            device=device,
        ) from None


def status(client: DockerClient, simulation: str, device: str) -> str:
    """Return the engine's state of the device's container; ``missing`` if there is none."""
    try:
        return str(get(client, simulation, device).status)
    except ThorError:
        return "missing"


def wait_booted(container: Container, device: str) -> None:
    """Return when systemd reports ``running``: every unit is up.

    Raises:
        ThorError: ``sim_device_unhealthy`` (units failed), ``sim_device_not_booted`` (too late, or dead).
    """
    deadline = time.monotonic() + BOOT_TIMEOUT_SECONDS
    state = "unknown"
    container.reload()
    restarts = container.attrs["RestartCount"]
    while time.monotonic() < deadline:
        container.reload()
        if (
            container.status in {"exited", "dead"}
            or container.attrs["RestartCount"] > restarts + _MAX_RESTARTS
        ):
            break
        state = _run(container, "systemctl is-system-running")
        if state == "running":
            return
        if state in {"degraded", "maintenance"}:
            failed = _run(container, "systemctl list-units --failed --plain --no-legend --no-pager")
            units = ", ".join(line.split()[0] for line in failed.splitlines())
            raise ThorError(
                "sim_device_unhealthy",
                f"{device} booted, but units failed: {units}",
                f"Read `docker exec {container.name} journalctl -b`, then start over: `thorctl sim "
                "down` and `thorctl sim up`.",
                device=device,
            )
        time.sleep(_POLL_SECONDS)
    log = container.logs(tail=5).decode(errors="replace").strip()
    raise ThorError(
        "sim_device_not_booted",
        f"{device} did not boot (container {container.status}, systemd {state}). {log}",
        f"Read `docker logs {container.name}`, then start over: `thorctl sim down` and `thorctl sim up`.",
        device=device,
    )


def _run(container: Container, command: str) -> str:
    try:
        result = container.exec_run(command, stderr=False)
    except APIError:  # between two states of the container
        return "unknown"
    return cast("bytes", result.output).decode(errors="replace").strip()


def host_key(container: Container, device: str) -> str:
    """Return the device's public SSH host key, read through the engine, which the network cannot forge.

    Raises:
        ThorError: ``sim_host_key_missing``.
    """
    # A loaded engine has been observed to lose the output of a short command, so it is repeated.
    deadline = time.monotonic() + HOST_KEY_TIMEOUT_SECONDS
    while not (key := _run(container, f"cat {_HOST_KEY}")).startswith("ssh-ed25519 "):
        if time.monotonic() >= deadline:
            raise ThorError(
                "sim_host_key_missing",
                f"{device} has no {_HOST_KEY}.",
                f"Read `docker exec {container.name} systemctl status sim-identity`, then start over: "
                "`thorctl sim down` and `thorctl sim up`.",
                device=device,
            )
        time.sleep(_POLL_SECONDS)
    return key


def reboot(client: DockerClient, simulation: str, device: str) -> None:
    """Reboot a device regularly: systemd stops every unit first."""
    container = get(client, simulation, device)
    container.restart(timeout=SHUTDOWN_TIMEOUT_SECONDS)
    wait_booted(container, device)


def cut(client: DockerClient, simulation: str, device: str) -> None:
    """Cut a device's power: every process dies at once, and it stays off."""
    container = get(client, simulation, device)
    if container.status == "running":
        container.kill()


def power_on(client: DockerClient, simulation: str, device: str) -> None:
    """Boot a device that is off; leave a running one alone."""
    container = get(client, simulation, device)
    if container.status != "running":
        container.start()
    wait_booted(container, device)
