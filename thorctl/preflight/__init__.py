"""Preflight reports and their view."""
