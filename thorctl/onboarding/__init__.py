"""The first steps to a device that serves: the operator's project."""
