"""Who is let in by the routes file, and what the log says of the others."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

import pytest
from onrecord.signalling.adapters import sip_sockets
from onrecord.signalling.adapters.names import Names
from onrecord.signalling.adapters.sip_sockets import STRANGER_SECONDS, RoutesGuard
from onrecord.signalling.routes import load_routes
from onrecord.sip.hop import Hop
from onrecord.standalone.routes import routes_text
from structlog.testing import capture_logs

PEER, STRANGER = Hop("udp", "127.0.0.1", 5061), Hop("udp", "192.0.2.66", 5060)


def test_a_stranger_is_told_of_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the address, as personal data, and the file where it is missing; a flood is one line."""
    file = tmp_path / "routes.toml"
    file.write_text(routes_text())
    clock = [100.0]
    guard = RoutesGuard(load_routes(file), Names((), (), SystemRandom()), file, lambda: clock[0])
    monkeypatch.setattr(sip_sockets, "log", sip_sockets.get_logger())
    with capture_logs() as logs:
        assert guard.knows(PEER)
        assert not any(guard.knows(STRANGER) for _ in range(100))
        clock[0] += STRANGER_SECONDS
        assert not guard.knows(STRANGER)
    assert [line["pii.source"] for line in logs] == ["192.0.2.66"] * 2
    assert logs[0]["routes"] == str(file)
    assert "not in [peers]" in logs[0]["event"]
