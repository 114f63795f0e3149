"""The smoke test: requests, checks, report."""
