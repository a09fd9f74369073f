"""What the Hub reads at the head of a card, and its rules, applied without asking it."""
