"""What may be kept, what is missing, and what is played: pure rules, no clock and no files."""
