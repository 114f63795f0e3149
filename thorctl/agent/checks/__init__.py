"""What is checked of a release that runs."""
