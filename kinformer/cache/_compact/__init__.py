"""The indexer with its objects compressed (storage="compact")."""
