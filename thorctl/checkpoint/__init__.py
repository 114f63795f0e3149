"""Checkpoints: what is in their files (audit), and mending what an engine would misread (repair)."""
