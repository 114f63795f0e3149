"""Decisions and texts of the Ansible plugins as plain functions; the plugins only transfer data."""
