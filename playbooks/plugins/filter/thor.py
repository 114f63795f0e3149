# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Filters: decisions of the playbooks, in Python so that they can be tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.ansible_plugins import bench, edge, preflight_table
from thorctl.ansible_plugins.converged import serves, waits_for_rollout
from thorctl.ansible_plugins.daemon_json import merged, needs_restart
from thorctl.ansible_plugins.failure import standing
from thorctl.ansible_plugins.restart import decide, window_problem
from thorctl.ansible_plugins.swap import swap_bytes, swap_problem, swap_unit

if TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    """See ``thorctl/bridge``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name to function."""
        return {
            "thor_bench_lines": bench.lines,
            "thor_door_files": edge.door_files,
            "thor_door_problem": edge.door_problem,
            "thor_edge_files": edge.files,
            "thor_edge_problem": edge.problem,
            "thor_plain": edge.plain,
            "thor_preflight_report": preflight_table.reported,
            "thor_preflight_table": preflight_table.table,
            "thor_restart": decide,
            "thor_serves": serves,
            "thor_standing": standing,
            "thor_swap_bytes": swap_bytes,
            "thor_swap_problem": swap_problem,
            "thor_swap_unit": swap_unit,
            "thor_waits_for_rollout": waits_for_rollout,
            "thor_window_problem": window_problem,
            "thor_daemon_json": merged,
            "thor_daemon_json_needs_restart": needs_restart,
        }
