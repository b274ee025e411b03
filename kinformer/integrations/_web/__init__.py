"""What the web integrations share."""
