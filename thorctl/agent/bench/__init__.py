"""The benchmark: method, client, accounting."""
