"""`fastkv chat`: a conversation about documents that are read once."""
