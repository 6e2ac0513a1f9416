"""The console: pages for people at `/`, rendered here and needing no build step (docs/decisions/0039).

A page asks the same gateway as every other door. What is at these paths is for browsers and may change with
any version; programs use the API.
"""
