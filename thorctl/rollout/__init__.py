"""Rollouts: install a release on a fleet in waves, observe it, and roll back unhealthy devices.

The model and the plan are values and functions without side effects. ``run`` executes their decisions with
connections, a clock and a record that are passed in.
"""
