"""Configuration, wiring and the command line. No rules live here."""
