"""Who else is told of a run: a chat by webhook, Prometheus by a text file."""
