"""Smoke test reports."""
