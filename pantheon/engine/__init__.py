"""Async use cases: the night, its scheduler, attempts, the agent loop, reviewers, the gatekeeper."""
