"""The media lines of one recording session: which is kept as which leg, and our description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onrecord.ledger.permit import STREAMS
from onrecord.signalling.domain.effects import Stream
from onrecord.sip.sdp import Codec, Media
from onrecord.sip.siprec import description
from onrecord.sip.siprec.description import Answer, AnsweredLine, Gate, LocalRecorder, RecordedMedia

_G711 = (Codec(0, "PCMU", 8000), Codec(8, "PCMA", 8000))
_STOPS = ("off", "pause")
_UNSPECIFIED = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class _LineOfOurs(RecordedMedia):
    """A line that we offer, where the client leaves that to us: either law, as it likes."""

    @property
    def codecs(self) -> tuple[Codec, ...]:
        return _G711


OURS = (
    _LineOfOurs(Media("audio", 9, "RTP/AVP", ("0", "8"), _G711, "sendonly")),
    _LineOfOurs(Media("audio", 9, "RTP/AVP", ("0", "8"), _G711, "sendonly")),
)
"""What we offer to a client that makes no offer itself: one line for each side of its call."""


class SessionMedia:
    """Takes offers and describes our side of them; a line keeps its leg as long as it lives.

    Streams beyond the last leg that there is are refused, as are lines that cannot be kept.
    """

    def __init__(self, session_id: int) -> None:
        """`session_id` goes into the o-line."""
        self.lines: tuple[RecordedMedia, ...] = ()
        self._legs: dict[int, str] = {}
        self._places: dict[str, tuple[str, int]] = {}
        self._known: tuple[Stream, ...] = ()
        self._former: tuple[tuple[RecordedMedia, ...], tuple[Stream, ...]] | None = None
        self._answer = Answer(b"", ())
        self._local = LocalRecorder(_UNSPECIFIED, {}, session_id)

    @property
    def legs(self) -> tuple[str, ...]:
        """The legs of every stream that there was, in the order in which they came."""
        return tuple(self._legs.values())

    @property
    def description(self) -> bytes:
        """What we said last."""
        return self._answer.body

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each line as we described it last."""
        return tuple(line.label for line in self._answer.lines)

    @property
    def answered(self) -> tuple[AnsweredLine, ...]:
        """Every line as we described it last."""
        return self._answer.lines

    @property
    def kept(self) -> list[tuple[str, AnsweredLine]]:
        """The lines that were taken, by leg, as they were last described."""
        answered = self._answer.lines
        return [(self._legs[n], line) for n, line in enumerate(answered) if line.port]

    @property
    def live(self) -> frozenset[str]:
        """The legs that we took and in which the client still sends, as its last offer says."""
        lines = zip(self.lines, self._answer.lines, strict=False)
        return frozenset(
            self._legs[number]
            for number, (theirs, ours) in enumerate(lines)
            if ours.port and theirs.codecs and not theirs.is_paused
        )

    @property
    def refused_lines(self) -> int:
        """How many lines of the last offer were refused."""
        return sum(not line.port for line in self._answer.lines)

    @property
    def pauses(self) -> set[str]:
        """What in the client's offer asks to keep nothing for now (RFC 7866 §7.1.1, §7.1.3)."""
        live = [line for line in self.lines if line.codecs]
        causes = set()
        if all(line.is_paused for line in live):
            causes.add("client_paused")
        if any(line.recordpref in _STOPS for line in live):
            causes.add("recordpref")
        return causes

    def take(self, lines: tuple[RecordedMedia, ...]) -> tuple[Stream, ...]:
        """Take an offer; give the streams that the recorder must be told of, none if it knows."""
        if self._former is None:
            self._former = self.lines, self._known
        self.lines = lines
        for index in description.recordable(lines):
            if index not in self._legs and len(self._legs) < len(STREAMS):
                self._legs[index] = STREAMS[len(self._legs)]
        streams = tuple(
            Stream(
                self._legs[index],
                lines[index].media.address,
                lines[index].media.port,
                lines[index].codecs,
            )
            for index in description.recordable(lines)
            if index in self._legs
        )
        before, self._known = self._known, streams
        return tuple(stream for stream in streams if stream not in before)

    def give_back(self) -> None:
        """Forget an offer that was taken and not answered: the one before it still stands."""
        if self._former is not None:
            (self.lines, self._known), self._former = self._former, None

    def opened(self, places: Mapping[str, tuple[str, int]]) -> None:
        """Take the recorder's addresses, by leg."""
        self._places |= places

    def describe(self, gate: Gate) -> bytes:
        """Our side of the last offer: its answer, and just as well an offer of ours.

        The version rises where the text changes (RFC 3264 §8).
        """
        ports = {
            index: self._places[leg][1] for index, leg in self._legs.items() if leg in self._places
        }
        host = next((host for host, _ in self._places.values()), _UNSPECIFIED)
        local = LocalRecorder(host, ports, self._local.session_id, self._local.version, gate)
        answer = description.build_answer(self.lines, local)
        if self._answer.body and answer.body != self._answer.body:
            local = LocalRecorder(host, ports, local.session_id, local.version + 1, gate)
            answer = description.build_answer(self.lines, local)
        self._local, self._answer, self._former = local, answer, None
        return answer.body
