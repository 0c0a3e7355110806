"""A recording client (SRC, RFC 7866): sipp speaks SIP with a vendor's body, we send its streams."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from xml.sax.saxutils import quoteattr

from onrecord.sip import multipart
from onrecord.sip.message import Request, Response, parse
from onrecord.sip.siprec import description, offer
from onrecord.sip.siprec.description import RecordedMedia
from onrecord.softphone.media import MediaSession
from onrecord.standalone.checks.observed import PhoneTape
from processes import until
from stack import WAIT_SECONDS

OFFERS = Path(__file__).parent / "data" / "siprec"
LOOPBACK = "127.0.0.1"
_LOGGED = re.compile(rb"(?m)^-{10,} [^\n]*\n\w+ message (sent|received)[^\n]*\n")


@dataclass(frozen=True)
class Step:
    """What the client does next: `INVITE`, `UPDATE`, `BYE`, `wait`, or `expect` a `method`."""

    do: str
    method: str = "INVITE"
    body: str = ""
    content_type: str = ""
    seconds: float = 0.0
    status: int = 200


@dataclass
class Script:
    """A sipp scenario made of steps, in the headers and with the body of a vendor's INVITE."""

    invite: Request
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def of(cls, vendor: str, ports: Sequence[int]) -> Self:
        """The vendor's own INVITE, with our address and these ports in its description."""
        request = parse((OFFERS / f"{vendor}.sip").read_bytes())
        assert isinstance(request, Request)
        request.body = at_home(request.body, ports)
        return cls(request)

    def then(self, do: str, **values: object) -> Self:
        """Add a step."""
        self.steps.append(Step(do, **values))  # type: ignore[arg-type]
        return self

    def description(self) -> str:
        """The session description of the first offer alone."""
        parts = multipart.read(self.invite.headers, self.invite.body)
        return next(one.body for one in parts if one.media_type == offer.SDP_TYPE).decode()

    def with_direction(self, direction: str, first_line: int = 0) -> str:
        """The description with the lines from this one on in this direction, as a next version."""
        session, *lines = re.split(r"(?m)^(?=m=)", self.description())
        for number in range(first_line, len(lines)):
            lines[number] = re.sub(
                r"a=(sendonly|inactive|sendrecv)", f"a={direction}", lines[number]
            )
        text = "".join([session, *lines])
        return re.sub(
            r"(?m)^(o=\S+ \S+) (\d+)", lambda found: f"{found[1]} {int(found[2]) + 1}", text
        )

    def xml(self) -> str:
        """The scenario as sipp reads it."""
        parts = [f"<scenario name={quoteattr(self.invite.headers.get('User-Agent') or 'src')}>"]
        number = 1
        parts += [self._send("INVITE", number, self._first_body(), self._content_type())]
        parts += [_RECEIVE_TRYING, '<recv response="200" rrs="true"/>', self._ack(number)]
        for step in self.steps:
            if step.do == "wait":
                parts.append(f'<pause milliseconds="{int(step.seconds * 1000)}"/>')
            elif step.do == "expect":
                parts.append(self._expect(step))
            else:
                number += 1
                parts.append(self._send(step.do, number, step.body, step.content_type))
                if step.do == "INVITE":
                    parts.append(_RECEIVE_TRYING)
                parts.append(f'<recv response="{step.status}"/>')
                if step.do == "INVITE":
                    parts.append(self._ack(number))
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join([*parts, "</scenario>"])

    def _first_body(self) -> str:
        return self.invite.body.decode()

    def _content_type(self) -> str:
        return self.invite.headers.get("Content-Type") or ""

    def _send(self, method: str, number: int, body: str, content_type: str) -> str:
        first = method == "INVITE" and number == 1
        target = "sip:srs@[remote_ip]:[remote_port]" if first else "[next_url]"
        lines = _head(method, target, number, "" if first else "[peer_tag_param]")
        if method in ("INVITE", "UPDATE"):
            lines.append(f"Contact: <sip:src@[local_ip]:[local_port]>{self._feature_tags()}")
        kept = [
            (name, value)
            for name, value in self.invite.headers
            if first and (name in ("Require", "Supported") or name not in _OURS)
        ]
        lines += [f"{name}: {_escaped(value)}" for name, value in kept]
        if content_type:
            lines.append(f"Content-Type: {_escaped(content_type)}")
        text = "\n".join([*lines, "Content-Length: [len]", "", _escaped(body)])
        return f'<send retrans="500"><![CDATA[\n{text}\n]]></send>'

    def _feature_tags(self) -> str:
        """The parameters of the vendor's Contact, outside its brackets."""
        text = self.invite.headers.get("Contact") or ""
        return text.rpartition(">")[2]

    @staticmethod
    def _ack(number: int) -> str:
        lines = _head("ACK", "[next_url]", number, "[peer_tag_param]")
        text = "\n".join([*lines, "Content-Length: 0", "", ""])
        return f"<send><![CDATA[\n{text}\n]]></send>"

    def _expect(self, step: Step) -> str:
        """Take a request of the server and answer it; a re-INVITE's ACK is waited for."""
        lines = [
            f"SIP/2.0 {step.status} by the test",
            "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]",
            "Contact: <sip:src@[local_ip]:[local_port]>",
        ]  # fmt: skip
        if step.body:
            lines.append("Content-Type: application/sdp")
        text = "\n".join([*lines, "Content-Length: [len]", "", _escaped(step.body)])
        answer = f'<recv request="{step.method}"/>\n<send><![CDATA[\n{text}\n]]></send>'
        return answer + ('\n<recv request="ACK"/>' if step.method == "INVITE" else "")


_OURS = frozenset(
    {"Via", "From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "Content-Type",
     "Content-Length", "Route", "Record-Route", "Content-Disposition", "Mime-Version",
     "Session-Expires", "Min-SE", "Allow", "Accept"}
)  # fmt: skip
_RECEIVE_TRYING = '<recv response="100" optional="true"/>'


def _head(method: str, target: str, number: int, tag: str) -> list[str]:
    return [
        f"{method} {target} SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "From: <sip:src@[local_ip]:[local_port]>;tag=[pid]src[call_number]",
        f"To: <sip:srs@[remote_ip]:[remote_port]>{tag}",
        "Call-ID: [call_id]",
        f"CSeq: {number} {method}",
        "Max-Forwards: 70",
    ]


def _escaped(text: str) -> str:
    """Sipp reads words in square brackets as its own."""
    return text.replace("[", "\\[").replace("\r\n", "\n")


def at_home(body: bytes, ports: Sequence[int]) -> bytes:
    """The body with our address and these ports in its lines of audio, in their order."""
    waiting = iter(ports)

    def with_port(found: re.Match[bytes]) -> bytes:
        return b"m=audio %d " % next(waiting)

    body = re.sub(rb"(?m)^c=IN IP4 [^\r\n]*", b"c=IN IP4 127.0.0.1", body)
    return re.sub(rb"(?m)^m=audio [1-9]\d* ", with_port, body)


@dataclass
class RecordingClient:
    """One session of a client: what it offered, its streams' senders, what it was answered."""

    vendor: str
    folder: Path
    script: Script
    senders: list[MediaSession]
    process: asyncio.subprocess.Process | None = None

    @property
    def offered(self) -> tuple[RecordedMedia, ...]:
        """The lines of its first offer."""
        return offer.read(self.script.invite).media

    async def place(self, server: tuple[str, int], transport: str = "u1") -> None:
        """Let sipp begin; `transport` as its option `-t` has it."""
        scenario = self._scenario()
        scenario.write_text(self.script.xml(), encoding="utf-8")
        with (self.folder / "sipp.out").open("wb") as out:
            self.process = await asyncio.create_subprocess_exec(
                "sipp", f"{server[0]}:{server[1]}", "-sf", str(scenario),
                "-i", LOOPBACK, "-t", transport,
                "-m", "1", "-nostdin", "-trace_msg", "-message_file", str(self.folder / "messages"),
                "-timeout", "60", "-timeout_error", "-trace_err", "-base_cseq", "1",
                stdout=out, stderr=out, cwd=self.folder,
            )  # fmt: skip

    def _scenario(self) -> Path:
        self.folder.mkdir(exist_ok=True)
        return self.folder / "src.xml"

    async def answer(self, number: int = 0) -> Response:
        """Wait for the `number`-th 200 to an INVITE."""
        await until(lambda: len(self._answers()) > number, WAIT_SECONDS)
        return self._answers()[number]

    async def asked(self) -> None:
        """Wait for a re-INVITE of the server's."""
        await until(lambda: bool(self.requests("INVITE")), WAIT_SECONDS)

    def requests(self, method: str) -> list[Request]:
        """What the server asked of the client."""
        return [one for one in self.messages() if isinstance(one, Request) and one.method == method]

    async def talk(self, packets: int, number: int = 0) -> None:
        """Send so many frames of noise in every line that was taken."""
        answered = description.parse((await self.answer(number)).body)
        taken = [
            (line.media, self.offered[index].codecs)
            for index, line in enumerate(answered)
            if line.media.port
        ]
        for sender, (media, codecs) in zip(self.senders, taken, strict=False):
            voice = codecs[0]
            sender.agree(voice.name, voice.payload_type, None, (media.address, media.port))
            sender.start()
            sender.say(noise(sender, packets))
        await asyncio.gather(*(one.said() for one in self.senders[: len(taken)]))

    async def over(self) -> None:
        """Wait for sipp's end, which must be a good one."""
        assert self.process is not None
        code = await asyncio.wait_for(self.process.wait(), WAIT_SECONDS * 2)
        if code:
            print((self.folder / "sipp.out").read_text(errors="replace")[-2000:])
            for errors in self.folder.glob("*errors*"):
                print(errors.read_text(errors="replace")[-2000:])
        assert code == 0, f"sipp as {self.vendor} ended with {code}"

    def tapes(self) -> dict[str, PhoneTape]:
        """What was sent, by leg."""
        return {
            f"stream-{number}": PhoneTape(tuple(one.sent), (), time.time_ns())
            for number, one in enumerate(self.senders)
            if one.sent
        }

    def messages(self) -> list[Request | Response]:
        """What sipp received, as it logged it."""
        path = self.folder / "messages"
        log = path.read_bytes() if path.exists() else b""
        parts = _LOGGED.split(log)
        return [
            parse(body.lstrip(b"\n"))
            for way, body in zip(parts[1::2], parts[2::2], strict=True)
            if way == b"received"
        ]

    def _answers(self) -> list[Response]:
        return [
            one
            for one in self.messages()
            if isinstance(one, Response) and one.status == 200 and one.cseq.method == "INVITE"
        ]


def noise(sender: MediaSession, packets: int) -> list[bytes]:
    """Frames of which no two are equal."""
    source = random.Random(len(sender.sent) + id(sender))  # noqa: S311 - told apart, not secret
    return [source.randbytes(160) for _ in range(packets)]


@contextlib.asynccontextmanager
async def recording_client(vendor: str, folder: Path) -> AsyncIterator[RecordingClient]:
    """A client in this vendor's style, with a sender for each line of audio that it offers."""
    source = random.Random(vendor)  # noqa: S311 - reproducible, not secret
    request = parse((OFFERS / f"{vendor}.sip").read_bytes())
    assert isinstance(request, Request)
    lines = [one for one in offer.read(request).media if one.media.kind == "audio"]
    senders = [MediaSession("PCMU", source) for _ in lines]
    ports = [await sender.open(LOOPBACK) for sender in senders]
    client = RecordingClient(vendor, folder, Script.of(vendor, ports), senders)
    try:
        yield client
    finally:
        for sender in senders:
            await sender.close()
        if client.process is not None and client.process.returncode is None:
            client.process.kill()
            await client.process.wait()
