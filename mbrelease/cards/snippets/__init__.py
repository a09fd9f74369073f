"""The code of a card: found, run against the release, and shown with what it prints."""
