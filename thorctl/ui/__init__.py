"""What a person reads: text that is safe to print, and the consoles that print it."""
