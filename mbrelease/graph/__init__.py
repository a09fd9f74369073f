"""The lineage of a family as a picture: who was made from whom, how, and what became of it."""
