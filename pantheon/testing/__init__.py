"""Fakes and contract suites for every port. Production never imports this room."""
