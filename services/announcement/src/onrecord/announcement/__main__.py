"""Runs the announcement service until it is told to stop."""

from onrecord.announcement.service import build
from onrecord.announcement.settings import AnnouncementSettings
from onrecord.platform.lifecycle import serve

if __name__ == "__main__":
    serve("announcement", AnnouncementSettings, build)
