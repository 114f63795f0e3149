"""What the agent and the controller have to agree on. Standard library only: it travels with the agent."""
