"""Benchmarks on the controller: what devices measured, beside their own baseline and the model card."""
