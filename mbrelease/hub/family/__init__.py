"""A family of published models: what their cards and configs say, beside what the registry says."""
