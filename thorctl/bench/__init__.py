"""Benchmarks on the controller: measurements compared with baselines and with the model card."""
