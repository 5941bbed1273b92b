"""Logistic regression over a path of penalties, and the solver behind it."""
