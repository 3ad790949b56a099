"""What the operating system gives: child processes, memory, signals, private folders."""
