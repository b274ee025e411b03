"""`kinformer types`: schemas of kinds, and the Python classes that are written from them."""
