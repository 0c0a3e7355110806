"""Memory is locked where that cannot cost a call."""

from __future__ import annotations

import resource

import pytest
from onrecord.media_recorder import memory


def test_a_finite_limit_locks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that locked all of its memory would die when it reaches the limit, in mid-call."""
    monkeypatch.setattr(memory, "_may_lock_all", lambda: False)
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1 << 20, 1 << 40))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda *_a, **_k: pytest.fail("locked"))
    assert not memory.lock_process()
