"""Read your own writes: the caches show the writes of the program."""
