"""`python -m onrecord.media_recorder`: the writer and its door."""

from __future__ import annotations

from onrecord.media_recorder.service import build
from onrecord.media_recorder.settings import RecorderSettings
from onrecord.platform.lifecycle import serve

if __name__ == "__main__":
    serve("media-recorder", RecorderSettings, build)
