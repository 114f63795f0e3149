"""Rollouts: a release goes through a fleet in waves, watched, and comes back where it is not well.

All but ``engine``, ``hands``, ``batches``, ``prepare``, ``at_work``, ``record`` and ``policy_file`` is pure:
values in, values out. ``engine`` drives it with effects, a clock and a record that are passed in.
"""
