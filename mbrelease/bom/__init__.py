"""A variant with its lineage as a CycloneDX ML-BOM, which supply chain tools read."""
