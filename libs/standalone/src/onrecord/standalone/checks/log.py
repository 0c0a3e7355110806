"""Checks of the log and of what was published from it."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict

from onrecord.contracts.entry import Entry
from onrecord.contracts.registry import FACTS, ce_type
from onrecord.contracts.topics import topic_of
from onrecord.ledger.errors import LedgerError
from onrecord.ledger.instant import format_time
from onrecord.ledger.merkle import leaf_hash
from onrecord.standalone.checks.observed import Broken, Log, LoggedEntry, Observed, Traces


def order(seen: Observed) -> str:
    """The log's indexes and each stream's numbers have no gap; an event stands in it once."""
    each_once(seen)
    return without_gap(seen.log)


def without_gap(log: Log) -> str:
    """The log's indexes and each stream's numbers have no gap."""
    if [index for index, _, _ in log] != list(range(len(log))):
        raise Broken("the log's indexes are not 0, 1, 2 …")
    numbers: dict[str, list[int]] = defaultdict(list)
    for _, stream, seq in log:
        numbers[stream].append(seq)
    for stream, found in numbers.items():
        if found != list(range(len(found))):
            raise Broken(f"stream {stream} is numbered {found[:20]}")
    return f"{len(log)} entries in {len(numbers)} streams without a gap"


def each_once(seen: Observed) -> str:
    """Each event of the call stands in the log once."""
    events = [logged.event_id for logged in seen.entries]
    if not events or len(set(events)) != len(events):
        raise Broken("an event stands in the log twice, or the call not at all")
    return f"{len(events)} events, each once"


def nothing_cut(log: Log, traces: Traces) -> str:
    """The log is as long as it was, and every call of which anything is kept stands in it."""
    if len(log) < traces.length:
        raise Broken(f"the log has {len(log)} entries, and had {traces.length}")
    if unknown := sorted(traces.calls - {stream.removeprefix("call/") for _, stream, _ in log}):
        raise Broken(f"something is kept of calls that the log does not know: {unknown[:8]}")
    return f"what is kept of {len(traces.calls)} calls is of calls in the log"


def intact(logged: LoggedEntry) -> None:
    """An entry's bytes are canonical, say what its document says, and hash to its leaf."""
    try:
        entry = logged.entry
    except LedgerError as error:
        raise Broken(f"entry {logged.index} cannot be read: {error}") from error
    said = (entry.index, entry.event_id, entry.stream, entry.seq, entry.call, entry.type)
    filed = (logged.index, logged.event_id, logged.stream, logged.seq, logged.call, logged.type)
    if said != filed:
        raise Broken(f"entry {logged.index} is filed as another than its bytes say")
    if leaf_hash(logged.canonical) != logged.leaf:
        raise Broken(f"entry {logged.index} does not hash to its leaf")
    if set(entry.sealed) != set(logged.sealed):
        raise Broken(f"entry {logged.index} has commitments and ciphertexts of other names")
    if entry.type not in FACTS:
        raise Broken(f"entry {logged.index} is of the unknown type {entry.type}")


def entries_intact(seen: Observed) -> str:
    """Each entry of the call is intact."""
    for logged in seen.entries:
        intact(logged)
    return f"{len(seen.entries)} entries are canonical and hash to their leaves"


def one_verdict(seen: Observed) -> str:
    """There is one verdict, amended or not; `recorded` is said only if all is stored, no gap."""
    verdict = seen.verdict
    said = verdict.fields["verdict"]
    if verdict.index < seen.only("call.ended").index:
        raise Broken("the verdict stands before the call's end")
    stored = [entry for entry in seen.of_type("recording.stored") if entry.fields["final"]]
    if said == "recorded" and (not stored or seen.of_type("recording.gap", "recording.failed")):
        raise Broken("the verdict is recorded, but something is missing")
    if said == "not_recorded" and seen.of_type("recording.started"):
        raise Broken("the verdict is not_recorded, but recording was started")
    if seen.of_type("recording.started") and len(stored) != 1:
        raise Broken(f"{len(stored)} final recording.stored, not one")
    amended = len(seen.of_type("call.verdict_amended"))
    return f"one verdict, {said}" + (f", amended {amended} times" if amended else "")


def kafka_equals_ledger(seen: Observed) -> str:
    """Each entry was published, in order, with the ledger's bytes; nothing else was."""
    # By partition, where alone there is an order: a key has another one once their number changes.
    numbers: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    by_event = {logged.event_id: logged for logged in seen.entries}
    for record in seen.published:
        entry = Entry.from_kafka(record.value)
        logged = by_event.get(entry.event_id)
        if logged is None:
            raise Broken(f"{record.topic} has {entry.event_id}, the ledger has not")
        if logged.canonical not in record.value or entry.sealed != dict(logged.sealed):
            raise Broken(f"{entry.event_id} was published with other bytes")
        expected = (topic_of(entry.stream), entry.call, entry.event_id, ce_type(entry.type))
        headers = {name: value.decode() for name, value in record.headers.items()}
        said = (record.topic, record.key.decode(), headers["ce_id"], headers["ce_type"])
        if said != expected or int(headers["seq"]) != entry.seq:
            raise Broken(f"{entry.event_id} was published as {said}")
        numbers[record.topic, record.partition, entry.stream].append(entry.seq)
    places = {(stream, seq) for (*_, stream), found in numbers.items() for seq in found}
    missing = [e.event_id for e in seen.entries if (e.stream, e.seq) not in places]
    if missing:
        raise Broken(f"not published: {missing}")
    for (*_, stream), sequence in numbers.items():
        # At least once: after a fault of the broker some may come early, and all come again.
        following = iter(sequence)
        if not all(seq in following for seq in sorted(set(sequence))):
            raise Broken(f"{stream} was published out of order: {sequence}")
    return f"{len(seen.published)} records carry the {len(seen.entries)} entries"


def nothing_personal_in_clear(seen: Observed) -> str:
    """The numbers of the call stand neither in the log's bytes nor on the bus in clear."""
    texts = [text.encode() for text in seen.private]
    for place, data in (
        *((f"entry {logged.index}", logged.canonical) for logged in seen.entries),
        *((f"{r.topic}/{r.partition}/{r.offset}", r.value) for r in seen.published),
    ):
        if any(text in data for text in texts):
            raise Broken(f"a number stands in clear in {place}")
    return f"{len(texts)} numbers occur nowhere in clear"


def access_before_release(seen: Observed) -> str:
    """Who listened and what for was committed before the first octet of audio was out."""
    release = seen.release
    if release is None:
        raise Broken("nothing was released")
    granted = seen.of_type("access.granted")
    if not granted:
        raise Broken("audio was released without an access entry")
    entry = granted[-1]
    if entry.fields["purpose"] != release.purpose or "person" not in entry.sealed:
        raise Broken("the access entry does not name the person and the purpose")
    if any(release.person.encode() in e.canonical for e in seen.entries if e.entry == entry):
        raise Broken("the person's name stands in clear in the access entry")
    if int(entry.recorded_at.timestamp() * 1e9) > release.first_octet_ns:
        raise Broken("the access entry was committed after the first octet")
    return f"entry {entry.index} at {format_time(entry.recorded_at)}, then the audio"


def access_named(seen: Observed) -> str:
    """Each release names a person, sealed, and a purpose that every party was told of."""
    told: dict[str, set[str]] = defaultdict(set)
    for given in seen.of_type("notice.given"):
        told[given.fields["party"]].update(given.fields["purposes"])
    purposes = set.intersection(*told.values()) if told else set()
    granted = seen.of_type("access.granted")
    for entry in granted:
        if "person" not in entry.sealed:
            raise Broken(f"entry {entry.index} does not say who was given audio")
        if entry.fields["purpose"] not in purposes:
            raise Broken(f"entry {entry.index} is for a purpose that the parties were not told of")
    return f"{len(granted)} releases, each to a named person for a purpose told"


def hashes(seen: Observed) -> str:
    """Each stored object is listed, has that hash and length, opens, and holds what was listed."""
    keys = [unit.listed["object_key"] for unit in seen.units]
    if len(set(keys)) != len(keys):
        raise Broken("an object is listed twice")
    for unit in seen.units:
        listed, body = unit.listed, seen.objects[unit.listed["object_key"]]
        if hashlib.sha256(body).hexdigest() != listed["sha256"] or len(body) != listed["octets"]:
            raise Broken(f"object {listed['object_key']} is not the one that was listed")
        header = unit.header
        if (header.call, header.leg, header.epoch, header.k) != (
            seen.call,
            *(listed[name] for name in ("leg", "epoch", "k")),
        ):
            raise Broken(f"object {listed['object_key']} holds another unit")
        if len(unit.frames) != listed["frames"]:
            raise Broken(f"object {listed['object_key']} holds {len(unit.frames)} frames")
    manifests = {entry.fields.get("manifest_key") for entry in seen.of_type("recording.stored")}
    if unlisted := sorted(seen.objects.keys() - {*keys, *manifests}):
        raise Broken(f"kept, and no entry lists it: {unlisted[:8]}")
    return f"{_manifest(seen)}{len(keys)} objects as listed"


def spool_empty(seen: Observed) -> str:
    """Nothing of the call is left in the spool."""
    if seen.spool:
        raise Broken(f"left in the spool: {', '.join(seen.spool)}")
    return "nothing of the call is left there"


def _manifest(seen: Observed) -> str:
    final = [entry for entry in seen.of_type("recording.stored") if entry.fields["final"]]
    if not final:
        return ""
    fields = final[-1].fields
    if fields["unit_count"] != len(seen.units):
        raise Broken(f"{len(seen.units)} units are listed, the last entry counts another number")
    key = fields.get("manifest_key")
    if not key:
        return ""
    body = seen.objects.get(key, b"")
    if hashlib.sha256(body).hexdigest() != fields["manifest_sha256"]:
        raise Broken("the manifest is missing or not the one that was listed")
    json.loads(body)
    return "the manifest and "
