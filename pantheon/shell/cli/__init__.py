"""The `pantheon` command, one module per verb."""
