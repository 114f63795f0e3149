"""Simulated devices and their services."""
