"""What a search does, in this order: explore, resume, confirm, test."""
