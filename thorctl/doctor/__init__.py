"""Checks of the controller, each with a remedy unless it passed. They change nothing."""
