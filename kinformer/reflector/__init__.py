"""List, then watch, for ever: keeps a DeltaFIFO equal to the API server."""
