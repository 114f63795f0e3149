"""The contract of agent and controller. Standard library only: it is shipped with the agent."""
