"""Files from outside: size and time limits, YAML with line numbers, validation against a model."""
