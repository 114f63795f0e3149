"""The Ansible inventory: devices, host patterns and maintenance windows."""
