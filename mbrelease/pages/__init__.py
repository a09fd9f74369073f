"""Model cards as pages, the way the Hub shows them: Markdown, tags, model tree, results."""
