"""Informs the parties of a call by approved prompts, and grades how well each was told."""
