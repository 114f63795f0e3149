"""The engine on a device: its unit, its socket and the door."""
