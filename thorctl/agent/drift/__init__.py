"""Desired against actual settings of a device."""
