"""Leadership, finalizers, owners, conditions and Events: the needs of operators beside reconcile."""
