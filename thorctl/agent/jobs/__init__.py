"""Detached verbs: a transient unit does the work, ``result`` returns the answer."""
