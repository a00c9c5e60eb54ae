"""The history of the accounts service's tables."""
