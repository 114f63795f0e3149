"""From nothing to a device that serves: the operator's project first."""
