"""The ledger's pure part: canonical bytes, sealing, permits, Merkle proofs.

Nothing here reads a clock, a file, a socket or a source of randomness: bytes, keys, nonces and
times come in as arguments, so that the recorder, an auditor and a one-file verifier can all use the
same code offline.
"""
