"""Data of the verb ``facts``: what a device is and how it is. None: it could not be read."""

from __future__ import annotations

from thorctl.protocol.dataclass import dataclass


@dataclass(frozen=True)
class L4t:
    """A Jetson Linux release: ``release`` 38.4, ``revision_full`` 38.4.0, ``raw`` as the file has it."""

    revision_full: str
    release: str | None = None
    raw: str | None = None


@dataclass(frozen=True)
class Gpu:
    """The GPU.

    Attributes:
        name: as nvidia-smi names it.
        driver: version of the driver.
        compute_capability: such as 11.0.
        utilization_percent: at the moment.
        cuda: newest CUDA that the driver runs.
        mig: whether the GPU is partitioned.
    """

    name: str | None = None
    driver: str | None = None
    compute_capability: str | None = None
    utilization_percent: int | None = None
    cuda: str | None = None
    mig: bool | None = None


@dataclass(frozen=True)
class GpuProcess:
    """A program on the GPU; ``used_bytes`` is None if nvidia-smi has no value."""

    pid: int
    name: str
    used_bytes: int | None = None


@dataclass(frozen=True)
class PowerMode:
    """A power mode: its name ('120W') and its number on this device."""

    name: str
    id: int


@dataclass(frozen=True)
class Clocks:
    """Clocks in hertz; ``locked``: GPU and memory are at their maximum."""

    gpu_hertz: int | None = None
    gpu_min_hertz: int | None = None
    gpu_max_hertz: int | None = None
    memory_hertz: int | None = None
    locked: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of the memory that CPU and GPU share."""

    total_bytes: int | None = None
    available_bytes: int | None = None
    free_bytes: int | None = None
    swap_total_bytes: int | None = None


@dataclass(frozen=True)
class Swap:
    """``kind``: file, partition, or zram, which is compressed memory and adds no space."""

    path: str
    size_bytes: int
    used_bytes: int
    kind: str


@dataclass(frozen=True, kw_only=True)
class Space:
    """The file systems of ``/var/lib/thor`` (``state``) and of images (``docker``).

    Attributes:
        state_free_bytes: for an ordinary user.
        docker_free_bytes: the same.
        same_filesystem: whether the two are one.
        state_filesystem: its type, such as ext4.
        docker_filesystem: the same.
        state_read_only: whether it takes no write.
        docker_read_only: the same.
        state_disk: the one disk below it; None too if it is not one.
        docker_disk: the same.
    """

    state_free_bytes: int | None = None
    docker_free_bytes: int | None = None
    same_filesystem: bool | None = None
    state_filesystem: str | None = None
    docker_filesystem: str | None = None
    state_read_only: bool | None = None
    docker_read_only: bool | None = None
    state_disk: str | None = None
    docker_disk: str | None = None


@dataclass(frozen=True)
class Disk:
    """A disk; ``kind`` is nvme, mmc, usb, virtio or ata."""

    name: str
    kind: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Docker:
    """The Docker engine; all but the first three are None if it does not answer.

    Attributes:
        installed: whether there is one, answering or not.
        package: docker.io or docker-ce.
        unpigz: whether the program is there by which layers are unpacked on all cores.
        version: of the engine.
        storage_driver: in Docker's words.
        image_store: ``containerd``, or ``docker`` for the engine's own.
        default_runtime: its name.
        runtimes: their names.
    """

    installed: bool | None = None
    package: str | None = None
    unpigz: bool | None = None
    version: str | None = None
    storage_driver: str | None = None
    image_store: str | None = None
    default_runtime: str | None = None
    runtimes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class UnattendedUpgrades:
    """``enabled``: the package is there, apt asks for it, and its timer is on."""

    installed: bool | None = None
    enabled: bool | None = None


@dataclass(frozen=True)
class Watchdog:
    """The hardware watchdog, and systemd's seconds for it (0: off)."""

    device: bool | None = None
    runtime_seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Connection:
    """An active connection of NetworkManager.

    Attributes:
        name: its name.
        uuid: its UUID.
        type: in NetworkManager's words.
        devices: the network devices that it uses.
        management: whether the caller's login, else the default route, goes by it.
        needs_login: properties that keep it down until somebody logs in.
    """

    name: str
    uuid: str
    type: str | None = None
    devices: tuple[str, ...] = ()
    management: bool | None = None
    needs_login: tuple[str, ...] = ()


@dataclass(frozen=True)
class Network:
    """The network.

    Attributes:
        management: the network devices by which the caller's login, else the default route, goes.
        connections: NetworkManager's active ones; empty where it manages nothing.
    """

    management: tuple[str, ...] | None = None
    connections: tuple[Connection, ...] | None = None


@dataclass(frozen=True)
class Nginx:
    """``stream``: nginx is installed with its stream module; ``edge``: the edge is configured."""

    stream: bool | None = None
    edge: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A device.

    Attributes:
        device_name: name of the inventory, as ``site.yml`` gave it.
        machine: 16 hex digits of a keyed hash of the machine id.
        serial: of the module.
        architecture: as ``uname -m``.
        hostname: its own.
        kernel: release of the kernel.
        os_release: PRETTY_NAME of ``/etc/os-release``.
        soc_compatible: ``compatible`` of the device tree.
        model_name: ``model`` of the device tree.
        tnspec: board id and version.
        module: T5000 or T4000.
        l4t: the Jetson Linux release.
        jetpack: the version that the L4T release belongs to.
        boot_id: of this boot.
        l4t_core_package: version of nvidia-l4t-core.
        jetpack_package: version of nvidia-jetpack.
        container_toolkit: version of nvidia-container-toolkit.
        gpu: the GPU.
        gpu_processes: programs on the GPU.
        power_mode: the current one.
        clocks: those of GPU and memory.
        cpus: online.
        memory: that of CPU and GPU.
        swap: each area; empty: there is none.
        container: whether the device is one.
        nginx: what runs door and edge.
        daemon_json: text of ``/etc/docker/daemon.json``; in a preflight only with ``--settings``.
        disk: the file systems that a release needs.
        disks: all disks.
        root_filesystem: type, such as ext4 or overlay.
        temperature_celsius: by sensor.
        power_milliwatts: by rail.
        over_current_events: since boot, by counter, such as hwmon3/oc1.
        docker: the Docker engine.
        cgroup: version, 1 or 2.
        iptables_raw: whether the kernel has that table.
        packages_held: sorted.
        unattended_upgrades: whether the device upgrades itself.
        default_target: of systemd.
        watchdog: the hardware watchdog.
        network: connections.
        uptime_seconds: since boot.
        clock_synchronized: whether something keeps the kernel's clock right.
        clock_settable: false in a container or without CAP_SYS_TIME.
    """

    device_name: str | None = None
    machine: str | None = None
    serial: str | None = None
    architecture: str | None = None
    hostname: str | None = None
    kernel: str | None = None
    os_release: str | None = None
    soc_compatible: tuple[str, ...] | None = None
    model_name: str | None = None
    tnspec: str | None = None
    module: str | None = None
    l4t: L4t | None = None
    jetpack: str | None = None
    boot_id: str | None = None
    l4t_core_package: str | None = None
    jetpack_package: str | None = None
    container_toolkit: str | None = None
    gpu: Gpu | None = None
    gpu_processes: tuple[GpuProcess, ...] | None = None
    power_mode: PowerMode | None = None
    clocks: Clocks | None = None
    cpus: int | None = None
    memory: Memory | None = None
    swap: tuple[Swap, ...] | None = None
    container: bool | None = None
    nginx: Nginx = Nginx()
    daemon_json: str | None = None
    disk: Space = Space()
    disks: tuple[Disk, ...] | None = None
    root_filesystem: str | None = None
    temperature_celsius: dict[str, float] | None = None
    power_milliwatts: dict[str, int] | None = None
    over_current_events: dict[str, int] | None = None
    docker: Docker = Docker()
    cgroup: int | None = None
    iptables_raw: bool | None = None
    packages_held: tuple[str, ...] | None = None
    unattended_upgrades: UnattendedUpgrades = UnattendedUpgrades()
    default_target: str | None = None
    watchdog: Watchdog = Watchdog()
    network: Network = Network()
    uptime_seconds: float | None = None
    clock_synchronized: bool | None = None
    clock_settable: bool | None = None
