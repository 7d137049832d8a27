"""The command line: flags to configuration to one call."""
