"""The append-only ledger: facts, permits, verdicts, keys, and the feed to Kafka."""
