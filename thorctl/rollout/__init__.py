"""Rollouts: a release goes through a fleet in waves, watched, and comes back where it is not well.

All but ``engine``, ``hands``, ``prepare`` and ``at_work`` is pure: values in, values out. ``engine`` drives
it with effects, a clock and a record that are passed in.
"""
