"""Clients in other languages, run against the embedded server and against a real one (`make foreign`)."""
