"""The rules of writing."""
