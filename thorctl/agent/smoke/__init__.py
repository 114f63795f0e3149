"""The smoke test: requests, judgement, report."""
