"""The preflight checks of a device."""
