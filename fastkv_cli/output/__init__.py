"""Output: the console, progress bars, and reports rendered as tables, JSON and CSV."""
