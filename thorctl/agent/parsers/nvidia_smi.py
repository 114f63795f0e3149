"""nvidia-smi on a Thor, which reports name, compute capability and utilisation, no memory and no power."""

from __future__ import annotations

import re

from thorctl.agent.parsers.numbers import integer
from thorctl.protocol.facts import Gpu, GpuProcess

QUERY = "name,driver_version,compute_cap,utilization.gpu"
PROCESSES_QUERY = "pid,process_name,used_memory"
# The third line of a GPU in nvidia-smi's table; an asterisk marks a mode that is pending a reset.
_MIG = re.compile(r"^\|\s+\|\s+\|\s*(Enabled|Disabled|N/A)\*?\s*\|\s*$", re.MULTILINE)
_CUDA = re.compile(r"\bCUDA Version: (\d+\.\d+)\b")
_MIB = 1024 * 1024
_ABSENT = {"", "[n/a]", "n/a", "not supported", "[not supported]", "[unknown error]"}


def parse_gpu(csv: str | None) -> Gpu | None:
    """Parse `--query-gpu=QUERY --format=csv,noheader,nounits`; None unless all lines are of one GPU.

    A partitioned GPU (MIG) may have several lines, the first of which is the whole one.
    """
    rows = [
        [_present(field) for field in line.split(",")] for line in (csv or "").splitlines() if line.strip()
    ]
    if not rows or any(len(row) != len(QUERY.split(",")) or row[0] != rows[0][0] for row in rows):
        return None
    name, driver, capability, utilization = rows[0]
    return Gpu(name, driver, capability, integer(utilization))


def parse_cuda(banner: str | None) -> str | None:
    """Return the newest CUDA version that the driver supports, such as '13.0', from nvidia-smi's table."""
    found = _CUDA.search(banner or "")
    return found.group(1) if found else None


def parse_mig(banner: str | None) -> bool | None:
    """Return whether a GPU is partitioned (MIG), from nvidia-smi's table; None if unreported."""
    modes = _MIG.findall(banner or "")
    return "Enabled" in modes if modes else None


def parse_processes(csv: str | None) -> list[GpuProcess] | None:
    """Parse `--query-compute-apps=PROCESSES_QUERY --format=csv,noheader,nounits`; None if unreadable."""
    if csv is None:
        return None
    processes = []
    for line in csv.splitlines():
        fields = line.split(",")  # a program's name may contain commas
        pid = integer(fields[0])
        if pid is not None and len(fields) >= 3:
            used = integer(fields[-1])
            name = ",".join(fields[1:-1]).strip()
            processes.append(GpuProcess(pid, name, None if used is None else used * _MIB))
        elif line.strip():
            return None
    return processes


def used_bytes(processes: list[GpuProcess] | None) -> int | None:
    """Sum the memory of processes, a Thor's only figure of GPU memory. None if one is unknown."""
    if processes is None or any(one.used_bytes is None for one in processes):
        return None
    return sum(one.used_bytes or 0 for one in processes)


def _present(field: str) -> str | None:
    text = field.strip()
    return None if text.lower() in _ABSENT else text
