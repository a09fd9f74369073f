"""Who is who: the variants of a family, their parents, and how each was made."""
