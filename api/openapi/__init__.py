"""The OpenAPI document: what each route promises, declared beside it, and the types that check what comes.

- operation.py: what is said of one operation; `OPERATIONS` of each file of routes has them.
- catalogue.py: all of them.
- schemas.py: from types to JSON Schema. failures.py: from error classes to answers. headers.py: headers.
- document.py: the document. page.py: the same, for people.
"""
