"""How fast methods are: bench."""
