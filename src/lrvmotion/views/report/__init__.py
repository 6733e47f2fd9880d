"""A run's report: HTML, Markdown, data, plots and their words."""
