"""Checkpoints: list their content (audit), and fix scales that an engine would misread (repair)."""
