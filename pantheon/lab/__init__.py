"""Measurement of servers and agents. Nothing the night needs lives here."""
