"""Scores of one model: from images, at one layer or several, or from a features file, which needs no torch."""
