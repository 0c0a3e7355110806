"""The recorder's ways out: the mover, the spool's files, the object store and the ledger."""
