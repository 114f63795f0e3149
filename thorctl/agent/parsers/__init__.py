"""Pure parsers of what a Jetson prints: text in, value or None out. None is unknown; nothing is guessed."""
