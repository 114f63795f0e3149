"""thorctl: a large language model on a fleet of NVIDIA Jetson Thor devices, and kept well there."""

__version__ = "0.2.0"
