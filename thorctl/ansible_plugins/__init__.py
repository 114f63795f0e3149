"""What the Ansible plugins say and decide, as pure functions: the plugins themselves only carry bytes."""
