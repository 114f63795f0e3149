"""Output for people: consoles, and text that is safe to print."""
