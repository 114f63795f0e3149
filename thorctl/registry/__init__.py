"""Clients of container registries and model hubs, read only."""
