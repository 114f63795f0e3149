"""nvidia-smi on a Thor: name, compute capability and utilisation are real, memory and power are not there."""

from __future__ import annotations

from dataclasses import dataclass

from thorctl.agent.parsers.numbers import integer

QUERY = "name,driver_version,compute_cap,utilization.gpu"
_ABSENT = {"", "[n/a]", "n/a", "not supported", "[not supported]", "[unknown error]"}


@dataclass(frozen=True)
class Gpu:
    """The device's GPU; each field None where nvidia-smi had no value."""

    name: str | None
    driver: str | None
    compute_capability: str | None
    utilization_percent: int | None


def parse_gpu(csv: str | None) -> Gpu | None:
    """Parse one line of `--query-gpu=QUERY --format=csv,noheader,nounits`; None unless one GPU answers."""
    lines = [line for line in (csv or "").splitlines() if line.strip()]
    fields = lines[0].split(",") if len(lines) == 1 else []
    if len(fields) != len(QUERY.split(",")):
        return None
    name, driver, capability, utilization = (_present(field) for field in fields)
    return Gpu(name, driver, capability, integer(utilization))


def parse_process_memory(csv: str | None) -> int | None:
    """Sum used bytes of `--query-compute-apps=pid,process_name,used_memory --format=csv,noheader,nounits`.

    The one real GPU memory figure on a Thor. None if a line has no number: a sum with a hole is no sum.
    """
    if csv is None:
        return None
    used = [integer(line.rsplit(",", 1)[-1]) for line in csv.splitlines() if line.strip()]
    return None if any(mib is None for mib in used) else sum(mib or 0 for mib in used) * 1024 * 1024


def _present(field: str) -> str | None:
    text = field.strip()
    return None if text.lower() in _ABSENT else text
