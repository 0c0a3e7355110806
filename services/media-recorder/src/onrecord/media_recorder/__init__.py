"""The media recorder: moves, plays, captures, spools, seals and uploads a call's audio."""
