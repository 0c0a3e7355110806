"""Checks of a call on the unrecorded route: its audio never came near us, and nothing is kept."""

from __future__ import annotations

from onrecord.standalone.checks.frames import by_number
from onrecord.standalone.checks.observed import PARTIES, Broken, Observed


def media_past_us(seen: Observed) -> str:
    """Each phone's SDP named the other phone, and what one sent is what the other received."""
    count = 0
    for party, other in zip(PARTIES, PARTIES[::-1], strict=True):
        near, far = seen.phones[party], seen.phones[other]
        if near.sends_to != far.listens_on:
            raise Broken(f"the {party} was told to send to {_text(near.sends_to)}, not the {other}")
        received = by_number(far.received)
        if not received or not received.keys() <= by_number(near.sent).keys():
            raise Broken(f"the {other} received nothing, or what the {party} never sent")
        count += len(received)
    places = " and ".join(_text(seen.phones[party].listens_on) for party in PARTIES)
    return f"{count} packets between {places}, no port of ours"


def rule_named(seen: Observed) -> str:
    """The verdict is that the call was not recorded, and by which rule."""
    fields = seen.verdict.fields
    if fields["verdict"] != "not_recorded" or not fields.get("rule", "").startswith("route/"):
        raise Broken(f"the verdict is {fields['verdict']} by rule {fields.get('rule')!r}")
    return f"{fields['verdict']} by {fields['rule']}"


def no_recorder(seen: Observed) -> str:
    """No policy was asked, no recorder was named, no gate was spoken of."""
    odd = seen.of_type("policy.decided", "permit.issued", "permit.refused", "recording.started")
    odd += [entry for entry in seen.of_type("call.answered") if entry.fields.get("media_node")]
    if odd:
        raise Broken(f"the call has {odd[0].type} in entry {odd[0].index}")
    return f"{', '.join(logged.entry.type for logged in seen.entries)} and nothing else"


def no_far_number(seen: Observed) -> str:
    """Nobody's number is in any entry, not even sealed."""
    sealed = [logged.index for logged in seen.entries if logged.entry.sealed]
    if sealed:
        raise Broken(f"entry {sealed[0]} has sealed fields")
    return f"none of the {len(seen.entries)} entries has a sealed field"


def nothing_kept(seen: Observed) -> str:
    """The object store, the spool and the keys know nothing of the call."""
    kept = [*seen.objects, *seen.spool, *seen.unit_keys]
    if kept:
        raise Broken(f"kept: {', '.join(kept)}")
    return "no object, no spool file, no key"


def _text(address: tuple[str, int] | None) -> str:
    return "nowhere" if address is None else "{}:{}".format(*address)
