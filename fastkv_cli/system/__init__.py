"""Access to the operating system: child processes, memory, signals, private files."""
