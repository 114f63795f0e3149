"""Rollouts: a release goes through a fleet in waves, watched, and comes back where it is not well.

``policy``, ``windows``, ``plan``, ``gate``, ``device``, ``state`` and ``decide`` are pure: values in, values
out. ``engine`` drives them with effects, a clock and a record that are passed in.
"""
