"""The pure part: what the facts of a call add up to, and how stored frames become audio."""
