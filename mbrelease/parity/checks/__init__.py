"""The checks, one file an aspect."""
