"""What Pantheon knows about Markdown notes: front matter, links, names, excerpts and what a good title is."""
