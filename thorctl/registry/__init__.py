"""Where bytes come from: container registries and model hubs. Read only."""
