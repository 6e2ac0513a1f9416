"""The upstream search tools, one a file: request and response of that upstream, nothing else."""
