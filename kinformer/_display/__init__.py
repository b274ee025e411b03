"""Objects and their changes as people read them; for the command line and the page."""
