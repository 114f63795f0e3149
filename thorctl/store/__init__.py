"""The controller's own memory: one SQLite file for baselines, rollouts and the audit trail.

Each noun has a module with its own table's statements; they take an open connection. The schema is a row of
numbered files in ``steps/``.
"""
