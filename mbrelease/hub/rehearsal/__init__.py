"""A local Hub that the ordinary clients talk to, for rehearsals and tests."""
