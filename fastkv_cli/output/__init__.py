"""What is written: the console, progress bars, and reports as tables, JSON, CSV."""
