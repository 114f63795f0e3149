"""How a device is reached: what ssh itself answers, and what of it is followed."""

from thorctl.remote import linker_cache

linker_cache.install()  # before any module here imports asyncssh
