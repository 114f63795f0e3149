"""The soak: load on the engine on trial, generated and observed on the device."""
