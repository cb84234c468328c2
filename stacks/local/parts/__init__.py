"""The real services of the local default, from packages, on fixed loopback ports, with their supervision."""
