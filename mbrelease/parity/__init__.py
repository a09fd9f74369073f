"""Is it ModernBERT, will it load, does it compute: one check an aspect."""
