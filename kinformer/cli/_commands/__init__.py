"""The commands: arguments, options and help texts. Each module has one `command`, and imports the work when it runs."""
