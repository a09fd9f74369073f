"""A real small release, from text that every machine has: the documentation inside Python."""
