"""The typed, idempotent, bounded operations that agents and flows may call."""
