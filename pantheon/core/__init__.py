"""Decisions as pure functions on frozen values. No I/O, no clock, no randomness, no logging."""
