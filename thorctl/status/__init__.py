"""The status of a fleet: rows, drift, events and their views."""
