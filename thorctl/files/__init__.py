"""Files from outside: size and time limits, YAML with places, validation against a model."""
