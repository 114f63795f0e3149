"""Staging: fetch the image and the checkpoint of a release, and verify them."""
