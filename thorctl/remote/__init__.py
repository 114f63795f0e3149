"""Connections to devices, with the options that ssh itself would use."""

from thorctl.remote import linker_cache

linker_cache.install()  # before any module here imports asyncssh
