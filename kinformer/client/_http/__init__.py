"""One HTTP connection pool, and a stream of its own for each watch."""
