"""From the FIFO to the indexer to the lister: what the program knows of the cluster."""
