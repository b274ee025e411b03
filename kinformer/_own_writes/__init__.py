"""Read your own writes: what the program writes, its caches show."""
