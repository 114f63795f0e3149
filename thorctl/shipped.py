"""The files that come with thorctl, and the search order: the project's own, else the shipped one."""

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
    """Return the folder of the package ``thorctl``."""
    from importlib import resources  # noqa: PLC0415 - 0.02 s that `thorctl --version` saves

    # A wheel is always unpacked: Ansible and ssh need paths.
    return Path(str(resources.files("thorctl")))


def is_checkout() -> bool:
    """Return whether this thorctl runs from a checkout and not from an installed wheel."""
    return not (package() / DATA).is_dir()


def folder(part: Part) -> Path:
    """Return the shipped folder ``deploy`` or ``images``."""
    return package().parent / part if is_checkout() else package() / DATA / part


def set_up() -> str:
    """Return the remedy for an environment that lacks a part of thorctl."""
    return "make bootstrap" if is_checkout() else "pip install --force-reinstall thorctl"


def local_folder() -> Path:
    """Return the folder of simulations and built disks: ``.thorctl`` of the checkout, else user state."""
    if is_checkout():
        return package().parent / ".thorctl"
    import platformdirs  # noqa: PLC0415 - as above

    return platformdirs.user_state_path("thorctl")


def playbooks() -> Path:
    """Return the folder of the collection's playbooks, such as ``site.yml``, and their ``ansible.cfg``."""
    return (package().parent / COLLECTION / "playbooks").resolve()


def folders(deploy: Path, part: str) -> tuple[Path, ...]:
    """Return the search path of ``part``, such as ``profiles``: the project, then the shipped files."""
    return tuple(dict.fromkeys((deploy / part, folder("deploy") / part)))


def find(deploy: Path, part: str, file: str) -> Path:
    """Return the first existing file on the search path, else its path in the project."""
    places = [place / file for place in folders(deploy, part)]
    return next((path for path in places if path.is_file()), places[0])


def names(deploy: Path, part: str) -> list[str]:
    """Return the names of all YAML files of ``part``, without ``.yml``, sorted."""
    return sorted({path.stem for place in folders(deploy, part) for path in place.glob(f"*{SUFFIX}")})


def own_names(deploy: Path, part: str) -> list[str]:
    """Return the same as `names`, for the project's own folder alone."""
    return sorted(path.stem for path in (deploy / part).glob(f"*{SUFFIX}"))
