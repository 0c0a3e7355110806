"""Runs the signalling service until it is told to stop."""

from onrecord.platform.lifecycle import serve
from onrecord.signalling.service import build
from onrecord.signalling.settings import SignallingSettings

if __name__ == "__main__":
    serve("signalling", SignallingSettings, build)
