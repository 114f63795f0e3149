"""The work of a soak: the engine on trial generates on the device itself, and is watched meanwhile."""
