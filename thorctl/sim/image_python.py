"""A Python environment as image layers: installed in a temporary container, then copied.

``images/<kind>/prepare`` writes one folder per layer under ``OUT``; each becomes one layer. pip, the binutils
and the host's addresses stay in the temporary container.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.sim import host_network, host_pip, image_packages
from thorctl.sim.build_container import NAME_PREFIX, SCRATCH, step
from thorctl.sim.image_inputs import SOURCES, Kind, files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from docker import DockerClient

OUT = "/srv"  # exists in the base, so mounting there leaves no trace
TOOLS = ["python3-pip", "binutils"]


def add_layers(
    client: DockerClient,
    parent: str,
    kind: Kind,
    *,
    repository: str,
    labels: Mapping[str, str],
    on_line: Callable[[str], None],
) -> list[str]:
    """Run ``prepare``, commit its layers on top of ``parent``; return the images' names, the last has all."""
    volume = client.volumes.create(NAME_PREFIX + secrets.token_hex(6))
    try:
        layers = _prepare(client, parent, kind, volume.name, on_line)
        images = []
        for layer in layers:
            with step(client, parent, on_line, volumes={volume.name: OUT}) as container:
                on_line(f"layer {layer}")
                container.run(["sh", "-c", f"cp -a {OUT}/{layer}/* /"])
                container.commit(repository, layer, labels)
            parent = f"{repository}:{layer}"
            images.append(parent)
        return images
    finally:
        volume.remove(force=True)


def environment(pip: host_pip.PipSettings, *, has_bundle: bool) -> dict[str, str]:
    """Return the variables of ``prepare``."""
    bundle = (
        dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), f"{SCRATCH}/ca.crt")
        if has_bundle
        else {}
    )
    fixed = {
        "PIP_NO_CACHE_DIR": "1",
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_PROGRESS_BAR": "off",
    }
    return {**pip.environment, **bundle, **fixed, **host_network.proxies()}


def _prepare(
    client: DockerClient, parent: str, kind: Kind, volume: str, on_line: Callable[[str], None]
) -> list[str]:
    pip = host_pip.read()
    bundle = host_network.ca_bundle()
    with step(client, parent, on_line, binds=pip.binds, volumes={volume: OUT}) as container:
        image_packages.install(container, TOOLS, SOURCES[kind].suite)
        container.put({path: file.read_bytes() for path, file in files_of(kind).items()})
        container.put({"ca.crt": bundle} if bundle is not None else {})
        netrc = Path.home() / ".netrc"  # credentials of a private index; this container is never committed
        container.put({".netrc": netrc.read_bytes()} if netrc.is_file() else {}, "/root")
        container.run([f"{SCRATCH}/prepare", OUT], environment(pip, has_bundle=bundle is not None))
        # bytes: the other type in its signature is that of a stream, which is not requested
        listed = bytes(container.container.exec_run(["ls", OUT]).output).decode().split()  # type: ignore[arg-type]
    if not listed:
        raise ThorError(
            "image_build_failed",
            f"The script images/{kind}/prepare wrote no layer.",
            f"Correct images/{kind}/prepare, then repeat the command.",
        )
    return sorted(listed)
