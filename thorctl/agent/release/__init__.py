"""The release document and the release store of a device."""
