"""What stored audio looks like: the plaintext unit and the sealed object around it."""
