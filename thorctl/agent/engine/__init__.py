"""The engine on a device: its socket and what stands in front of it."""
