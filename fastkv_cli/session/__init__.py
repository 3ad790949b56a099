"""Documents and a model, opened once, and any number of tasks done with them: no console here."""
