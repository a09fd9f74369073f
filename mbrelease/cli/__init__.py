"""The command line: one module a command. Parses, calls the library, prints."""
