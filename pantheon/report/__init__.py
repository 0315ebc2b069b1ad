"""The read model over store and artifacts, and its HTML and JSON forms."""
