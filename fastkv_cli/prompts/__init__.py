"""From a task and a text to the token ids of a prompt; the text is data."""
