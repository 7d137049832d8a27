"""Training of one network, data parallel over local devices."""
