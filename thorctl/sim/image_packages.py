"""Install Debian packages in an image with the host's apt settings, without leaving them there."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

from thorctl.sim import host_apt, host_network
from thorctl.sim.build_container import SCRATCH

if TYPE_CHECKING:
    from thorctl.sim.build_container import Step

# Prevents the start of services: nothing is booted here.
_POLICY = b"#!/bin/sh\nexit 101\n"


def host_files(suite: str, *, unstable: bool) -> dict[str, bytes]:
    """Return apt's settings, sources and the CA bundle of the host, as files for the scratch folder.

    ``unstable`` adds Debian unstable's packages, of which apt uses only those named ``<package>/sid``.
    """
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    lines = [
        *host_apt.options(dump),
        'APT::Install-Recommends "false";',
        'Dir::Etc::sourceparts "/dev/null";',
    ]
    mirrors = host_apt.mirrors(host_apt.read_sources())
    sources = mirrors.with_unstable(suite) if unstable else mirrors.sources(suite)
    if unstable:
        lines.append(f'APT::Default-Release "{suite}";')
    if sources:  # otherwise those that mmdebstrap left in the base image
        lines.append(f'Dir::Etc::sourcelist "{SCRATCH}/sources.list";')
    bundle = host_network.ca_bundle()
    if bundle is not None:
        lines.append(f'Acquire::https::CaInfo "{SCRATCH}/ca.crt";')
    files = {
        "apt.conf": "\n".join(lines).encode() + b"\n",
        "sources.list": "\n".join(sources).encode() + b"\n",
    }
    return files | ({"ca.crt": bundle} if bundle is not None else {})


def install(step: Step, packages: list[str], suite: str) -> None:
    """Install packages with their dependencies, without recommendations; remove lists and archives."""
    unstable = any(name.endswith(f"/{host_apt.UNSTABLE}") for name in packages)
    step.put(host_files(suite, unstable=unstable))
    step.put({"policy-rc.d": _POLICY}, "/usr/sbin")
    environment = {
        "DEBIAN_FRONTEND": "noninteractive",
        "APT_CONFIG": f"{SCRATCH}/apt.conf",
        **host_network.proxies(),
    }
    names = " ".join(shlex.quote(name) for name in packages)
    step.run(["apt-get", "-q", "update"], environment)
    # unsafe-io: an interrupted build is discarded, so syncs per package are useless
    step.run(["sh", "-c", f"apt-get -q -y -o Dpkg::Options::=--force-unsafe-io install {names}"], environment)
    step.run(
        [
            "sh",
            "-c",
            "rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt",
        ]
    )
