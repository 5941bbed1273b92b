"""Tables and charts as values, from what was read."""
