"""The ledger's ways out: MongoDB and Kafka."""
