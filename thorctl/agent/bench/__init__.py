"""The benchmark: method, client, evaluation."""
