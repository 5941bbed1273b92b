"""Backbone and images -> features."""
