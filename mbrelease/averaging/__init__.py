"""Average checkpoints: recipes turn steps and scores into weights, the engine streams."""
