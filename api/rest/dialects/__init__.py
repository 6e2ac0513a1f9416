"""Wire formats: each file parses one format into a request and renders an answer into it, nothing else."""
