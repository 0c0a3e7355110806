"""The outside: the index in MongoDB, the ledger's door, the object store."""
