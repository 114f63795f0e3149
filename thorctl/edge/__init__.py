"""The edge in front of a device's engine: certificates, keys, nginx configuration."""
