"""Prefix states: the early layers' results for a document, reused for further questions."""
