"""A local Hub for rehearsals: the ordinary clients talk to it, and nothing leaves the machine."""
