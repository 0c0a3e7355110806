"""Settings come from the environment, and a wrong one is named."""

import re
from pathlib import Path

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


TLS = {"tls_cert": "c", "tls_key": "k", "tls_ca": "a"}


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:7100", "[::]:7100", ":7100", "10.0.0.7:7100", "ledger:7100", "7100"]
)
def test_a_plain_door_is_on_loopback_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], listen: str
) -> None:
    """Whatever else can be reached needs TLS: refused at start, and the way out is named."""
    monkeypatch.setenv("ONRECORD_GRPC_LISTEN", listen)
    with pytest.raises(SystemExit) as ended:
        load(ServiceSettings)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    for name in ("ONRECORD_GRPC_LISTEN", "ONRECORD_TLS_CERT", "ONRECORD_TLS_KEY", "127.0.0.1"):
        assert name in said
    for name, value in TLS.items():
        monkeypatch.setenv(f"ONRECORD_{name.upper()}", value)
    assert load(ServiceSettings).mutual_tls


@pytest.mark.parametrize("listen", ["127.0.0.1:7100", "127.9.9.9:0", "[::1]:7100", "localhost:0"])
def test_loopback_may_be_plain(monkeypatch: pytest.MonkeyPatch, listen: str) -> None:
    """What only this machine reaches needs no certificates."""
    monkeypatch.setenv("ONRECORD_GRPC_LISTEN", listen)
    assert not load(ServiceSettings).mutual_tls


@pytest.mark.parametrize("left_out", TLS)
def test_half_of_tls_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], left_out: str
) -> None:
    """A certificate without the CA would let in everybody: all three, or none."""
    for name in TLS.keys() - {left_out}:
        monkeypatch.setenv(f"ONRECORD_{name.upper()}", "file")
    with pytest.raises(SystemExit):
        load(ServiceSettings)
    assert "ONRECORD_TLS_CA" in capsys.readouterr().err


def test_the_manifests_settings_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cluster the doors are reached from other machines, so the manifests turn TLS on."""
    manifest = Path(__file__).parents[3] / "deploy" / "k8s" / "kustomization.yaml"
    literals = re.findall(r"- (ONRECORD_\w+)=(.*)", manifest.read_text(encoding="utf-8"))
    for name, value in literals:
        monkeypatch.setenv(name, value)
    settings = load(ServiceSettings)
    assert settings.grpc_listen == "0.0.0.0:7100"
    assert settings.mutual_tls
