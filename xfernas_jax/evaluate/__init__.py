"""What an architecture is scored on."""
