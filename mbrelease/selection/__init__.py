"""Choose a candidate by a policy that was written down before the measurements."""
