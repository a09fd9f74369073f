"""The history of a variant, from the git repository that the registry lies in."""
