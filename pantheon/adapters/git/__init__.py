"""git through its plumbing, on a git directory and configuration of Pantheon's own."""
