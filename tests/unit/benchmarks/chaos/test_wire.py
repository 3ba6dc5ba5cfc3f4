"""Cutting what a client says into messages, wherever the network has cut it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.chaos.wire import Reader, Said

CONNECT = b'CONNECT {"verbose":false,"name":"PUB a 3"}\r\n'
PUB = b"PUB rise.work.edge.any.job-1.1 13\r\nline\r\nPUB x 9\r\n"
ASKED = b"PUB rise.scheduler.configure _INBOX.a.b 2\r\n{}\r\n"
HEADERS = b"NATS/1.0\r\nNats-Msg-Id: a.1.0\r\n\r\n"
HPUB = (
    b"HPUB $KV.rise_jobs.job-1 _INBOX.c %d %d\r\n" % (len(HEADERS), len(HEADERS) + 5) + HEADERS + b"\x00\r\n\xff\n\r\n"
)
HPUB_SILENT = b"HPUB rise.outcomes %d %d\r\n" % (len(HEADERS), len(HEADERS)) + HEADERS + b"\r\n"
SUB = b"SUB rise.cancel.* workers 3\r\n"
STREAM = (CONNECT, b"PING\r\n", PUB, ASKED, SUB, HPUB, HPUB_SILENT, b"UNSUB 3 1\r\n", b"pong\r\n")


def test_every_kind_of_message_is_read() -> None:
    connect, ping, pub, asked, sub, hpub, silent, unsub, pong = Reader().feed(b"".join(STREAM))
    assert (connect.verb, ping.verb, unsub.verb, pong.verb) == ("CONNECT", "PING", "UNSUB", "PONG")
    assert pub == Said(PUB, "PUB", "rise.work.edge.any.job-1.1", "", b"", b"line\r\nPUB x 9")
    assert (asked.subject, asked.reply, asked.payload) == ("rise.scheduler.configure", "_INBOX.a.b", b"{}")
    assert (sub.verb, sub.subject) == ("SUB", "rise.cancel.*")
    assert (hpub.subject, hpub.reply) == ("$KV.rise_jobs.job-1", "_INBOX.c")
    assert (hpub.headers, hpub.payload) == (HEADERS, b"\x00\r\n\xff\n")
    assert (silent.headers, silent.payload, silent.reply) == (HEADERS, b"", "")


def test_a_stream_cut_at_any_byte_gives_the_same_messages() -> None:
    whole = b"".join(STREAM)
    for cut in range(len(whole) + 1):
        reader = Reader()
        found = reader.feed(whole[:cut]) + reader.feed(whole[cut:])
        assert tuple(said.raw for said in found) == STREAM
        assert reader.rest == b""


def test_a_stream_that_comes_byte_by_byte_gives_the_same_messages() -> None:
    reader = Reader()
    found = [said for byte in b"".join(STREAM) for said in reader.feed(bytes([byte]))]
    assert tuple(said.raw for said in found) == STREAM


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_no_payload_is_taken_for_the_protocol(payloads: list[bytes]) -> None:
    stream = b"".join(b"PUB a.b %d\r\n%s\r\n" % (len(payload), payload) for payload in payloads)
    found = Reader().feed(stream)
    assert [said.payload for said in found] == payloads
    assert b"".join(said.raw for said in found) == stream


def test_half_a_message_is_kept_for_later() -> None:
    reader = Reader()
    assert reader.feed(PUB[:-1]) == []
    assert reader.rest == PUB[:-1]
    (said,) = reader.feed(PUB[-1:] + b"PI")
    assert said.raw == PUB
    assert reader.rest == b"PI"
