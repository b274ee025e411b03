"""The bytes of lists and watches to objects."""
