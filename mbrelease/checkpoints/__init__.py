"""What a trainer leaves on disk: find it, order it, read its headers without torch."""
