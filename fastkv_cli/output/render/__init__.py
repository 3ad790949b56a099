"""Reports to tables, JSON and CSV. Pure: nothing is written here."""
