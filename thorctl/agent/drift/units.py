"""Compare the units that systemd uses with the installed files: masks, drop-ins, pending reloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.paths import ENGINE_UNIT
from thorctl.protocol.status import HOST, Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.agent.core.context import Context

RECOVER_UNIT = "thor-recover.service"
DOCKER_UNIT = "docker.service"  # started by the engine's unit; its drop-ins are the operator's
_OURS = ("thor-*.service", "thor-*.socket", "thor-*.timer")
_PROPERTIES = ("Id", "LoadState", "UnitFileState", "FragmentPath", "DropInPaths", "NeedDaemonReload")
_OFF = ("disabled", "masked", "masked-runtime", "enabled-runtime", "linked", "linked-runtime", "bad")
# The distribution's own, for all services.
_OF_ALL = ("/usr/lib/systemd/system/service.d/", "/lib/systemd/system/service.d/")
CALL_SECONDS = 4.0


def compared(ctx: Context, *, engine: bool) -> list[Comparison]:
    """Compare every unit of ours with its file; ``engine``: the engine's unit should exist."""
    names = {path.name for pattern in _OURS for path in ctx.paths.engine_unit.parent.glob(pattern)}
    names |= {RECOVER_UNIT, DOCKER_UNIT} if ctx.paths.device_json.exists() else set()
    names = names | {ENGINE_UNIT} if engine else names - {ENGINE_UNIT}
    if not names:
        return []
    argv = ["systemctl", "show", "--property", ",".join(_PROPERTIES), *sorted(names)]
    done = ctx.runner.run(argv, timeout=CALL_SECONDS)
    found = _blocks(done.stdout) if done.ok else {}
    return [_item(ctx, name, found.get(name)) for name in sorted(names)]


def _blocks(text: str) -> dict[str, dict[str, str]]:
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")
    ]
    return {block["Id"]: block for block in blocks if "Id" in block}


def _item(ctx: Context, name: str, unit: Mapping[str, str] | None) -> Comparison:
    path = f"{ctx.paths.engine_unit.parent}/{name}"
    starts = _starts_by_itself(ctx, name)
    wanted = "enabled as installed" if starts else "as installed"
    if unit is None or not unit.get("LoadState"):
        return Comparison(f"unit {name}", HOST, wanted)
    if unit["LoadState"] == "not-found":
        return Comparison(f"unit {name}", HOST, wanted, None, same=False)
    faults = [] if unit["LoadState"] == "loaded" else [unit["LoadState"]]
    if name == DOCKER_UNIT:
        return Comparison(f"unit {name}", HOST, "loaded", ", ".join(faults) or "loaded", same=not faults)
    state = unit.get("UnitFileState", "")
    if state in _OFF and state not in faults and (starts or state.startswith("masked")):
        faults.append(state)
    if unit["LoadState"] == "loaded" and unit.get("FragmentPath") not in (path, "", None):
        faults.append(f"used from {unit['FragmentPath']}")
    faults += [f"changed by {one}" for one in _drop_ins(unit)]
    if unit.get("NeedDaemonReload") == "yes":
        faults.append("changed and not loaded (systemctl daemon-reload)")
    return Comparison(f"unit {name}", HOST, wanted, ", ".join(faults) or wanted, same=not faults)


def _drop_ins(unit: Mapping[str, str]) -> list[str]:
    return [one for one in unit.get("DropInPaths", "").split() if not one.startswith(_OF_ALL)]


def _starts_by_itself(ctx: Context, name: str) -> bool:
    try:
        return "[Install]" in (ctx.paths.engine_unit.parent / name).read_text(errors="replace")
    except OSError:
        return name in (ENGINE_UNIT, RECOVER_UNIT)
