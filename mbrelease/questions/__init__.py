"""What one asks of a family across its rooms: terms of licences, evidence, configs on disk."""
