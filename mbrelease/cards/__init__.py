"""Write the model card from the registry, the evidence and the decision."""
