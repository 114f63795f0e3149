"""Chat with a device's model: the generation, its stream, its view."""
