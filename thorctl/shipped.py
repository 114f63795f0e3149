"""The files that come with thorctl, and which file counts: the project's own, else the shipped one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

Part = Literal["deploy", "images"]
# In a wheel, below the package and beside it; pyproject.toml maps the folders of a checkout there.
DATA = "data"
COLLECTION = Path("ansible_collections", "thorctl", "thor")
SUFFIX = ".yml"


@cache
def package() -> Path:
    """The folder of the package ``thorctl``."""
    from importlib import resources  # noqa: PLC0415 - 0.02 s that `thorctl --version` need not take

    # A wheel is always unpacked: Ansible and ssh need paths.
    return Path(str(resources.files("thorctl")))


def is_checkout() -> bool:
    """Whether this thorctl runs from a checkout and not from an installed wheel."""
    return not (package() / DATA).is_dir()


def folder(part: Part) -> Path:
    """The shipped folder ``deploy`` or ``images``."""
    return package().parent / part if is_checkout() else package() / DATA / part


def set_up() -> str:
    """The remedy for an environment that lacks a part of thorctl."""
    return "make bootstrap" if is_checkout() else "pip install --force-reinstall thorctl"


def local_folder() -> Path:
    """Where simulations and built disks are kept: ``.thorctl`` of the checkout, else the user's state."""
    if is_checkout():
        return package().parent / ".thorctl"
    import platformdirs  # noqa: PLC0415 - as above

    return platformdirs.user_state_path("thorctl")


def playbooks() -> Path:
    """The playbooks of the collection thorctl.thor, such as ``site.yml``, and their ``ansible.cfg``."""
    return (package().parent / COLLECTION / "playbooks").resolve()


def folders(deploy: Path, part: str) -> tuple[Path, ...]:
    """Where files of ``part``, such as ``profiles``, are looked for: in the project, then with thorctl."""
    return tuple(dict.fromkeys((deploy / part, folder("deploy") / part)))


def find(deploy: Path, part: str, file: str) -> Path:
    """The file that counts; the project's path where there is none at all."""
    places = [place / file for place in folders(deploy, part)]
    return next((path for path in places if path.is_file()), places[0])


def names(deploy: Path, part: str) -> list[str]:
    """Names of all YAML files of ``part``, without ``.yml``, sorted."""
    return sorted({path.stem for place in folders(deploy, part) for path in place.glob(f"*{SUFFIX}")})


def own_names(deploy: Path, part: str) -> list[str]:
    """As `names`, of the project's own folder alone."""
    return sorted(path.stem for path in (deploy / part).glob(f"*{SUFFIX}"))
