"""The Hub's addresses, one module a subject."""
