"""Migrations of the ml service's tables."""
