"""Objects, their history, and the resources that they are of."""
