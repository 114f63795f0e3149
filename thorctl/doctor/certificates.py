"""Check the validity of the edges' certificates: an expired one closes the device's edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.doctor.check import Check
from thorctl.edge import issue

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from thorctl.edge.pki import Pki
    from thorctl.inventory.devices import Device

NAME = "edge certificates"
REMEDY = (
    "Issue new ones with `thorctl edge cert`, then install them: `cd playbooks && ansible-playbook edge.yml`."
)


def checks(pki: Pki, devices: Sequence[Device], now: dt.datetime) -> list[Check]:
    """Return one check of all certificates; [] for a fleet without an authority of its own.

    Raises:
        ThorError: ``edge_pki_unreadable``.
    """
    root = pki.root()
    if root is None:
        return []
    bad, soon, ends = [], [], []
    for device in devices:
        pair = pki.device(device.name)
        if pair is None:
            continue
        names = [device.name, device.host, *device.edge_names]
        verdict = issue.judge(pair, root, names, now, issue.RENEW_BEFORE_DAYS)
        if verdict.expires:
            ends.append(verdict.expires)
        if verdict.reason == issue.SOON:
            soon.append(f"{device.name}: ends on {verdict.expires:%Y-%m-%d}")
        elif verdict.reason:
            bad.append(f"{device.name}: {verdict.reason}")
    if bad:
        return [Check("inventory", NAME, "fail", "; ".join(bad + soon), REMEDY)]
    if soon:
        return [Check("inventory", NAME, "warn", "; ".join(soon), REMEDY)]
    if not ends:
        return [Check("inventory", NAME, "warn", "an authority, and no certificate yet", REMEDY)]
    return [Check("inventory", NAME, "pass", f"{len(ends)}, the first ends on {min(ends):%Y-%m-%d}")]
