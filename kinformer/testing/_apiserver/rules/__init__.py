"""What a write may do."""
