"""Settings come from the environment, and a wrong one is named."""

import pytest
from onrecord.platform.settings import ServiceSettings, load


def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process ends with code 2 and the name of the variable that is wrong."""
    monkeypatch.setenv("ONRECORD_DRAIN_SECONDS", "soon")
    with pytest.raises(SystemExit) as ended:
        load(ServiceSettings)
    assert ended.value.code == 2
    assert "ONRECORD_DRAIN_SECONDS" in capsys.readouterr().err


def test_another_services_variable_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is shared, so unknown variables pass."""
    monkeypatch.setenv("ONRECORD_SIP_LISTEN", "127.0.0.1:5060")
    monkeypatch.setenv("ONRECORD_NODE", "n1")
    assert load(ServiceSettings).node == "n1"
