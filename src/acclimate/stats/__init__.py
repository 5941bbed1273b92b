"""Statistics: one prediction's numbers, intervals, rank correlations, and what chance does."""
