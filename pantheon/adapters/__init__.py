"""The drivers behind the ports: SQLite, HTTP, llama.cpp, git, files, keys, clock."""
