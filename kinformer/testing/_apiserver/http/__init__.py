"""What it hears and answers."""
