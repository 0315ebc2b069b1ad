"""Sandboxes: bubblewrap, and none for owners who say so."""
