"""Building a prompt's token ids from a task and a text, which is treated as data."""
