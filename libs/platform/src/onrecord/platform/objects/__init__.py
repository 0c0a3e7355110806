"""The object store: one port, two adapters (a local folder, S3)."""

from __future__ import annotations

from onrecord.platform.objects.folder import FolderStore
from onrecord.platform.objects.port import ObjectExists, ObjectStore
from onrecord.platform.objects.s3 import S3Store

__all__ = ["ObjectExists", "ObjectStore", "open_store"]


def open_store(url: str) -> ObjectStore:
    """The store of this address: a folder's path, or `s3://bucket?endpoint=…&region=…`.

    S3 credentials come from the standard AWS variables. Raises ValueError for another scheme.
    """
    if url.startswith("s3://"):
        return S3Store.from_url(url)
    if "://" in url:
        raise ValueError(f"object store {url!r}: use a folder's path or s3://bucket?endpoint=…")
    return FolderStore(url)
