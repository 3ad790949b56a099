"""Prefix states: what the early layers computed of a document, used for further questions."""
