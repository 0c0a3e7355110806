"""Finds recordings and releases them, every release preceded by an entry in the ledger."""
