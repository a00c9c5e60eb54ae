"""The history of the storage service's tables."""
