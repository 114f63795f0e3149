"""The process that drives a rollout: controller, executor, lock, preparation."""
