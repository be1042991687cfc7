"""The few bytes of HTTP and WebSocket that the load clients know."""

from __future__ import annotations

import pytest

from bench.wire import CLOSE, PING, TEXT, Frame, answer_length, frames, masked, post, unmasked

SIZES = (0, 1, 125, 126, 65_535, 65_536)


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_of_any_length_is_read_as_it_was_written(size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    for written in (unmasked(TEXT, payload), masked(TEXT, payload)):
        assert list(frames(bytearray(written))) == [Frame(TEXT, payload)]


def test_a_masked_frame_is_unmasked() -> None:
    # RFC 6455, 5.7: a single-frame masked text message.
    assert list(frames(bytearray.fromhex("818537fa213d7f9f4d5158"))) == [Frame(TEXT, b"Hello")]


def test_frames_that_come_in_pieces_come_whole_and_in_order() -> None:
    sent = [Frame(TEXT, b"a" * 300), Frame(PING, b""), Frame(TEXT, b"b"), Frame(CLOSE, b"\x03\xe8")]
    buffer = bytearray()
    got: list[Frame] = []
    for byte in b"".join(unmasked(*frame) for frame in sent):
        buffer.append(byte)
        got += frames(buffer)
    assert got == sent
    assert not buffer


def test_the_length_of_an_answer_is_known_when_its_head_is_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Content-Length: 7\r\ncontent-length: 12\r\nx: y\r\n\r\n"
    assert answer_length(head[:-1]) is None
    assert answer_length(head) == len(head) + 12
    assert answer_length(head + b"{}") == len(head) + 12


def test_an_answer_without_a_length_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="no Content-Length"):
        answer_length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncontent-length: 5\r\n")


def test_a_request_says_how_long_it_is() -> None:
    head, body = post("{ server { version } }", {"name": "Zoë"}, "token").split(b"\r\n\r\n", 1)
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Authorization: Bearer token" in head
