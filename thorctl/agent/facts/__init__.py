"""Facts about a device, read from files and programs."""
