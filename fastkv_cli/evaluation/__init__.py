"""Does it still find the answer? Questions, their scores, and what came of them."""
