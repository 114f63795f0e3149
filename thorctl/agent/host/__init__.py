"""The host around the engine: its network, and whether its settings are in effect."""
