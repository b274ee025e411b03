"""Parts that the web integrations share."""
