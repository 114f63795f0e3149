"""The state of a rollout: phases, transitions, observations, gates, the scheduler. Pure."""
