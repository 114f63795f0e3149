"""How a device is reached: what ssh itself answers, and what of it is followed."""
