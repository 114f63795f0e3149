"""Simulated devices and the services they stand among."""
