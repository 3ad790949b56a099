"""Loading models from files, model families, and the engine's view of the decoder."""
