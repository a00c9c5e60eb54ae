"""The history of the collector's tables."""
