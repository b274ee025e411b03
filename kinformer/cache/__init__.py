"""The cache of an informer: the FIFO that feeds it, the indexer that stores it, the lister that reads it."""
