"""Checks of the controller: what was found and, unless it passed, what to do. They change nothing."""
