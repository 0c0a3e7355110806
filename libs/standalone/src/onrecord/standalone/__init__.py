"""The onrecord command: the five services on one machine."""
