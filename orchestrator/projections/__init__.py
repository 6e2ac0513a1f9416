"""Pure folds from events to the state behind reports: no clock, no randomness, no I/O."""
