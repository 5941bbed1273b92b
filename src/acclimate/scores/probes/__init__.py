"""Probes: classifiers on cached features, measured on held-out images."""
