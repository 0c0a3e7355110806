"""The recorders' doors: plays a prompt on the recorder that has the call."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import grpc.aio
from onrecord.announcement.announcer import PlayFailed
from onrecord.announcement.domain.grade import PlayReport
from onrecord.announcement.domain.prompt import Prompt
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as pb
from onrecord.api.media_recorder.v1 import media_recorder_pb2_grpc as rpc
from onrecord.contracts.event import parse_time
from onrecord.contracts.events import Position
from onrecord.platform.telemetry import get_logger

log = get_logger()

GRACE_SECONDS = 2.0
"""How much longer than the prompt a play may take before nothing is known of it."""

_REASONS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "media_timeout",
    grpc.StatusCode.UNAVAILABLE: "media_unavailable",
    grpc.StatusCode.NOT_FOUND: "call_unknown_to_media",
}


class Recorders:
    """Plays prompts through `Media.Play`, one channel per recorder."""

    def __init__(self, channel: Callable[[str], grpc.aio.Channel]) -> None:
        """`channel` gives the channel to a `host:port`."""
        self._channel = channel

    async def play(
        self, address: str, call: str, notice_id: str, leg: str, prompt: Prompt
    ) -> PlayReport:
        """Play to the end and return the report. Raises PlayFailed when there is none.

        Idempotent by notice id and leg: a repeat answers with the report of the first play.
        """
        media = rpc.MediaStub(self._channel(address))
        request = pb.PlayRequest(
            call_id=call,
            notice_id=notice_id,
            leg=leg,
            prompt_wav=prompt.wav,
            prompt_sha256=bytes.fromhex(prompt.sha256),
        )
        try:
            reply = await media.Play(request, timeout=prompt.seconds + GRACE_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.warning("play failed", call=call, leg=leg, status=error.code().name)
            raise PlayFailed(_REASONS.get(error.code(), "play_refused")) from error
        if (reply.report.notice_id, reply.report.leg) != (notice_id, leg):
            raise PlayFailed("report_of_another_play")
        return _report(reply.report)


def _report(report: pb.PlayReport) -> PlayReport:
    try:
        parse_time(report.started_at)
        parse_time(report.ended_at)
    except ValueError as error:
        raise PlayFailed("report_malformed") from error
    received = report.received if report.HasField("received") else None
    return PlayReport(
        notice_id=report.notice_id,
        leg=report.leg,
        complete=report.complete,
        reason=report.reason,
        ssrc=report.ssrc,
        first_sequence=report.first_sequence,
        last_sequence=report.last_sequence,
        packets=report.packets,
        octets=report.octets,
        payload_sha256=report.payload_sha256.hex(),
        received=received
        and Position(ssrc=received.ssrc, sequence=received.sequence, timestamp=received.timestamp),
        started_at=report.started_at,
        ended_at=report.ended_at,
    )
