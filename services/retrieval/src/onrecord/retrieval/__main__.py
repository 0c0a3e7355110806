"""Runs the retrieval service until it is told to stop."""

from onrecord.platform.lifecycle import serve
from onrecord.retrieval.service import build
from onrecord.retrieval.settings import RetrievalSettings

if __name__ == "__main__":
    serve("retrieval", RetrievalSettings, build)
