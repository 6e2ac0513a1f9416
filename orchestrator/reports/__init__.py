"""What is reported: pure functions from sums over a window to figures, each report in a file of its name."""
