"""`fastkv chat`: follow-up questions about documents in one conversation."""
