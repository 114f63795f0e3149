"""The verbs of ``thor-agent``, one module each with ``run(ctx, args)``."""
