"""The controller's store: one SQLite file for baselines, rollouts and the audit trail.

Each noun has a module with the statements of its table; they take an open connection. The schema is a series
of numbered files in ``steps/``.
"""
