"""The recorded events of a rollout and their replay."""
