"""Traces, rewards and training. Nothing the night needs lives here."""
