"""A bare device of its own for the host's roles, seen by other means than the roles' own code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.playbooks.playbook_run import PlaybookRun
    from tests.system.e2e.site_world import World

ROLES = "thor_time,thor_host,thor_runtime"
ACCOUNT = "thor-fetch"
# What others left on a device: settings of Docker, and files of earlier versions, in whose place
# provisioning writes some whose names sort last.
THEIRS = '{"max-concurrent-downloads": 2, "insecure-registries": ["theirs.test:5000"]}'
EARLIER = (
    "/etc/systemd/journald.conf.d/50-thor.conf",
    "/etc/systemd/system.conf.d/50-thor.conf",
    "/etc/apt/apt.conf.d/99-thor-no-upgrades",
    "/etc/sysctl.d/50-thor-ipv6.conf",
)
USED_BEFORE = f"""
mkdir -p /etc/systemd/journald.conf.d /etc/systemd/system.conf.d && touch {" ".join(EARLIER)}
echo '{THEIRS}' >/etc/docker/daemon.json && systemctl restart docker
"""
# Bytes and modes of all settings, holds, units, targets, accounts: what a run without changes leaves alike.
SNAPSHOT = """
sudo find /etc /opt /usr/local /var/lib/thor -path /etc/machine-id -prune -o -printf '%p %m %U %G %l ' \
    \\( -type f -exec sha256sum {} \\; -o -printf '\\n' \\) | sort
apt-mark showhold; systemctl get-default; sudo docker info --format '{{.DockerRootDir}} {{.LoggingDriver}}'
systemctl list-units --state=active,failed --plain --no-legend 'thor*'; nvpmodel -q
"""
# A package as dpkg has it installed, and a repository of just that: a mirror for a device that reaches none.
REPACK = r"""
set -e; cd /
root=$(mktemp -d); repository=/srv/packages; sudo mkdir -p $repository
dpkg -L docker.io | while read -r path; do
    if [ -e "$path" ] && [ ! -d "$path" ]; then sudo cp --archive --parents ".$path" "$root"; fi
done
sudo mkdir "$root/DEBIAN"
dpkg-query --status docker.io | grep -v '^Status: ' | sed '/^Conffiles:/,/^[^ ]/{/^Conffiles:/d;/^ /d}' |
    sudo tee "$root/DEBIAN/control" >/dev/null
for script in preinst postinst prerm postrm; do
    sudo cp --archive "/var/lib/dpkg/info/docker.io.$script" "$root/DEBIAN/$script"
done
sudo chmod 0755 "$root"
sudo dpkg-deb -Znone --root-owner-group --build "$root" $repository/docker.io.deb >/dev/null
{
    dpkg-deb --field $repository/docker.io.deb
    echo "Filename: ./docker.io.deb"
    echo "Size: $(stat -c %s $repository/docker.io.deb)"
    echo "SHA256: $(sha256sum $repository/docker.io.deb | cut -d' ' -f1)"
} | sudo tee $repository/Packages >/dev/null
echo "deb [trusted=yes] file:$repository ./" | sudo tee /etc/apt/sources.list.d/here.list
"""


@dataclass(frozen=True)
class Host:
    """The device, the roles that make a host of it, and a profile that its class has."""

    world: World
    profile: str

    def converge(self, *options: str, mode: str | None = None) -> PlaybookRun:
        """Runs the host's roles; ``mode`` is a power mode other than the class's."""
        power = ("-e", f"thor_host_power_mode={mode}") if mode else ()
        return self.world.playbook("site", "--tags", ROLES, *power, *options, profile=self.profile)

    def run(self, command: str) -> str:
        """A command on the device, which has to succeed; its output."""
        return self.world.sim.run(self.world.device, command)

    @property
    def boot(self) -> str:
        """Another after each restart."""
        return self.run("cat /proc/sys/kernel/random/boot_id")
