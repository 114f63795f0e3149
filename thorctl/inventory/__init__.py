"""Devices as the Ansible inventory names them, patterns and maintenance windows."""
