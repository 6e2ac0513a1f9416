"""The stages of the pipeline, one a file; none knows another."""
