"""Code that runs inside Ansible's own Python process."""
