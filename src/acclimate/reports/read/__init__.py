"""A folder -> rows, runs, the grid of all numbers, ranks."""
