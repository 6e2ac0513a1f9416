"""Log lines: how they look, where they go, and one for each execution of the record."""
