"""The batch orchestrator: it turns a complete batch into one command per essay, and sees the pass to its end."""
