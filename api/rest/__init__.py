"""The HTTP routes: each file is one group of paths, problems.py is the one table from errors to statuses."""
