"""The types of the Kubernetes API, generated from its Go types and from the OpenAPI of a real server."""
