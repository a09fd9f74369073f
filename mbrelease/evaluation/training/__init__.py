"""Training a model for a task before it is measured."""
