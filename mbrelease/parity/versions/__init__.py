"""The same folder, read by other versions of transformers, each in an environment of its own."""
