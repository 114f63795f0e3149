"""Every serve.yaml that the project renders: all profiles, their device classes, every set of switches."""

from __future__ import annotations

from itertools import chain, combinations
from pathlib import Path

from tests.support.documents import changed, lock_for
from thorctl.release import device_class, profile
from thorctl.release.render import render_release
from thorctl.release.switches import OPTIONS

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
SWITCHES = [list(chosen) for count in range(len(OPTIONS) + 1) for chosen in combinations(OPTIONS, count)]


def renderings() -> dict[str, str]:
    """``profile class switches`` to the text of its serve.yaml."""
    return dict(chain.from_iterable(map(_of_profile, profile.names(DEPLOY))))


def _of_profile(name: str) -> list[tuple[str, str]]:
    loaded = profile.load(DEPLOY, name)
    found = []
    for class_name in loaded.device_classes:
        of_class = device_class.load(DEPLOY, class_name)
        for chosen in SWITCHES:
            of = changed(loaded, switches=dict.fromkeys(chosen, True))
            release = render_release(of, lock_for(of, of_class.platforms[0]), of_class, DEPLOY / "templates")
            found.append((" ".join([name, class_name, *chosen]), release.files["serve.yaml"].content))
    return found
