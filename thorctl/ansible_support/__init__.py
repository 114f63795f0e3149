"""What runs inside Ansible's own Python code, in a process of its own."""
