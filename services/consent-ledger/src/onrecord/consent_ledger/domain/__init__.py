"""What the ledger decides, without input or output: time, randomness and entries come in."""
