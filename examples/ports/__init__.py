"""Watchers of other projects, written anew on kinformer: the same interface, and the same scenarios."""
