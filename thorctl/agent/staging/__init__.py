"""Staging: what brings the bytes of a checkpoint onto the device and verifies them."""
