"""Starting a project: its first registry, and the workflow that releases from GitHub."""
