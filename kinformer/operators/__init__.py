"""What operators need beside reconcile: leadership, finalizers, owners, conditions, Events."""
