"""Models: files to weights, families, the decoder as the engine sees it."""
