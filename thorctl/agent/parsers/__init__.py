"""Parsers of files and program output of a Jetson: text in, value out; None is unknown."""
