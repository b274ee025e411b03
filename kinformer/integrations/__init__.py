"""Optional integrations; each is a module to import by name, so that nothing heavy loads by accident."""
