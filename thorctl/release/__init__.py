"""Releases: profile, device class, lock, options, memory, rendering, the release document."""
