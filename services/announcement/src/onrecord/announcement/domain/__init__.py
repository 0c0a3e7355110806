"""The pure part: which prompt informs whom, and what a play report proves."""
