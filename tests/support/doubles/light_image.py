"""The light engine as a container image, of either architecture: nothing of it is run to build it.

Debian's Python and nothing else: the agent needs nothing of an engine's image. Loaded as an archive of
``docker save``, because ``docker import`` gives every image this machine's own architecture.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from docker.errors import ImageNotFound

from tests.support.doubles import image_archive
from thorctl.sim import host_apt, host_command, image_base, registry

if TYPE_CHECKING:
    from docker import DockerClient

    from thorctl.sim.state import Simulation

Architecture = Literal["amd64", "arm64"]
REPOSITORY = "thorctl/light-engine"
RECIPE = 2  # raise it when this file makes something else of the same inputs
_CODE = sorted(Path(__file__).parent.glob("engine*.py"))
_SUITE = "bookworm"
_DEBIAN = ("python3.11-minimal", "libpython3.11-stdlib", "dash")  # the second brings libssl and the like
_PYTHON = "/usr/bin/python3.11"
_UNUSED = ("var", "etc/apt", "usr/share", "usr/lib/python3.11/ensurepip", "usr/lib/python3.11/pydoc_data")
_CONFIG = {
    "Entrypoint": [_PYTHON, "-S", "-u", "-m", "tests.support.doubles.engine_program"],
    "Env": ["PATH=/usr/bin", "PYTHONPATH=/opt/light", "PYTHONDONTWRITEBYTECODE=1", "LANG=C.UTF-8"],
    "WorkingDir": "/opt/light",
    "Labels": {"org.opencontainers.image.title": "Light engine, a test double"},
}


def tag(architecture: Architecture) -> str:
    """``thorctl/light-engine:<12 hex>-<architecture>``, of what goes into it."""
    digest = hashlib.sha256(f"{RECIPE} {_DEBIAN} {_CONFIG}".encode())
    for path in _CODE:
        digest.update(path.name.encode() + path.read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:12]}-{architecture}"


def ensure(client: DockerClient, architecture: Architecture) -> str:
    """The image's tag; built now if the engine lacks it, which takes half a minute."""
    name = tag(architecture)
    try:
        client.images.get(name)
    except ImageNotFound:
        with tempfile.TemporaryDirectory(prefix="thorctl-light-") as folder:
            root = Path(folder) / "root"
            _debian(Path(folder) / "debian.tar", root, architecture)
            _engine(root / "opt" / "light")
            if sys.version_info[:2] == (3, 11):  # bytecode of another Python would only take room
                _compile(root)
            archive = Path(folder) / "image.tar"
            image_archive.write(archive, root, name, architecture, _CONFIG)
            with archive.open("rb") as stream:
                client.images.load(stream)
    return name


def push(client: DockerClient, simulation: Simulation, name: str) -> None:
    """Puts it where the devices of a simulation pull it: ``thorctl/light-engine:<architecture>``."""
    architecture = name.rpartition("-")[2]
    image = client.images.get(name)
    url = next(url for host, url in simulation.via.items() if host.startswith("registry."))
    assert simulation.push_port is not None
    assert image.id is not None
    if not registry.holds(url, REPOSITORY, architecture, image.id):
        registry.push(
            client,
            image.id,
            REPOSITORY,
            architecture,
            port=simulation.push_port,
            on_progress=lambda _: None,
        )


def _debian(tar: Path, root: Path, architecture: Architecture) -> None:
    """Unpacked, not installed: no script of a package runs, so another architecture needs no emulation."""
    host_command.require({tool: tool for tool in image_base.TOOLS})
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    options = ['APT::Install-Recommends "false";', *host_apt.options(dump)]
    words = [
        *host_command.as_root(),
        *("mmdebstrap", "--variant=extract", "--skip=output/dev", f"--architectures={architecture}"),
        *(f"--aptopt={line}" for line in options),
        *(f"--include={','.join(_DEBIAN)}", _SUITE, str(tar)),
        *host_apt.mirrors(host_apt.read_sources()).sources(_SUITE),
    ]
    host_command.run(words, lambda _: None, name="mmdebstrap", remedy="fix what its last lines name")
    with tarfile.open(tar) as archive:
        unused = tuple(f"./{place}" for place in _UNUSED)
        kept = [one for one in archive.getmembers() if not one.name.startswith(unused)]
        archive.extractall(root, kept, filter="tar")
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)


def _engine(place: Path) -> None:
    package = place / "tests" / "support" / "doubles"
    package.mkdir(parents=True)
    for path in _CODE:
        (package / path.name).write_bytes(path.read_bytes())


def _compile(root: Path) -> None:
    """Bytecode that is believed without a look at the source: the container's files are read-only."""
    words = [sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    places = [str(root / "usr" / "lib" / "python3.11"), str(root / "opt" / "light")]
    done = subprocess.run([*words, "-s", str(root), *places], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
