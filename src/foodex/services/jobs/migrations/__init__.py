"""Migrations of the jobs service's tables."""
