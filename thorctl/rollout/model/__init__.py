"""The model of a rollout: phases, transitions, observations, gates, the scheduler."""
