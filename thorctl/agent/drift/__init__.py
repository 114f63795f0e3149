"""Comparison of a device's desired and actual settings."""
