"""Run the consent ledger: `python -m onrecord.consent_ledger`."""

from onrecord.consent_ledger.service import build
from onrecord.consent_ledger.settings import LedgerSettings
from onrecord.platform.lifecycle import serve

if __name__ == "__main__":
    serve("consent-ledger", LedgerSettings, build)
