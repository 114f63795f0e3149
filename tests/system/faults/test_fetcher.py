"""The fetcher's sandbox on a real device: an attacker in the fetcher's place, and systemd's rating."""

from __future__ import annotations

import base64
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.faults.container_ground import NEW, restore
from tests.system.faults.container_states import unstage
from tests.system.faults.container_world import ContainerWorld
from thorctl.agent.staging import fetcher
from thorctl.remote import agent_archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.faults.container_ground import Ground

pytestmark = pytest.mark.sim
AGENT = "/opt/thor/agent.pyz"
MOST_EXPOSED = 2.5  # `systemd-analyze security`, of 10


@pytest.fixture
def world(ground: Ground) -> Iterator[ContainerWorld]:
    """The first device, without the release that is to be staged."""
    from contextlib import ExitStack

    with ExitStack() as exits:
        world = ContainerWorld(ground, exits)
        restore(ground, world.device)
        unstage(world, image=True)
        yield world


def with_evil_fetcher(tmp_path: Path) -> bytes:
    """The agent's zipapp, in which the fetcher is an attacker's."""
    packed = agent_archive.build(tmp_path / "agent.pyz")
    evil = (Path(__file__).parent / "evil_fetch.py").read_bytes()
    out = tmp_path / "evil.pyz"
    with zipfile.ZipFile(packed) as good, zipfile.ZipFile(out, "w") as bad:
        for name in good.namelist():
            fetch = name == "thorctl/agent/staging/fetch.py"
            bad.writestr(name, evil if fetch else good.read(name))
    return out.read_bytes()


def test_malicious_fetcher_gets_nowhere(world: ContainerWorld, tmp_path: Path) -> None:
    device = world.device
    device.sh(f"cp -a {AGENT} /root/agent.good")
    world.exits.callback(lambda: device.sh(f"mv /root/agent.good {AGENT}"))
    text = base64.b64encode(with_evil_fetcher(tmp_path)).decode()
    device.sh("rm -f /root/evil.b64")
    for at in range(0, len(text), 90_000):
        device.sh(f"printf %s {text[at : at + 90_000]} >> /root/evil.b64")
    device.sh(f"base64 -d /root/evil.b64 > {AGENT}")
    saying = device.say(*world.words)
    incoming = f"/var/lib/thor/incoming/{world.ground.releases[NEW].lock.checkpoint.directory}"
    device.wait("the fetcher runs", lambda: device.tries(f"test -e {incoming}/*.part")[0] == 0, 120)
    shown = device.read(f"systemd-analyze security --no-pager {fetcher.UNIT} | cat")
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", shown)
    assert exposure, shown
    assert float(exposure[1]) <= MOST_EXPOSED, shown
    assert device.read(f"systemctl show --property User --value {fetcher.UNIT}") == "thor-fetch"
    device.sh(f"touch {incoming}/go")
    out, _ = saying.process.communicate(timeout=300)
    error = json.loads(out)["error"]
    assert (error["code"], error["details"]["reason"]) == ("fetcher_failed", "closed"), error
    assert device.tries("pgrep -u thor-fetch")[0] == 1  # nothing outlives the unit
    checkpoint = world.ground.releases[NEW].lock.checkpoint.directory
    assert device.tries(f"test -e /var/lib/thor/checkpoints/{checkpoint}")[0] == 1


def test_stage_takes_the_files_over_as_root_s_own(world: ContainerWorld) -> None:
    device = world.device
    device.done(*world.words)
    checkpoint = world.ground.releases[NEW].lock.checkpoint.directory
    owners = device.read(
        f"find /var/lib/thor/checkpoints/{checkpoint} -type f -printf '%u %m %n\\n' | sort -u"
    )
    assert owners == "root 444 1"
    assert device.read("stat -c '%U %a' /var/lib/thor/incoming") == "thor-fetch 700"
    assert device.read("stat -c '%U %a' /var/lib/thor/verified") == "root 700"
    assert device.read("ls -A /var/lib/thor/incoming") == ""
