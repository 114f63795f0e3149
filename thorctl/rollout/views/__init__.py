"""A rollout and its plan on a terminal and as JSON."""
