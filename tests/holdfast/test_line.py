from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from holdfast.line import LEAVE, RETIRE, Line


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Line, socket.socket]]:
    """A server's end of a line, and the end of the one who started it."""
    ours, theirs = socket.socketpair()
    line = await Line.open(theirs.detach())
    with ours:
        yield line, ours
    line.close()
    await asyncio.sleep(0)  # it is closed in the loop's next round


async def obeyed(line: Line) -> list[str]:
    """What is obeyed, up to the end."""
    words: list[str] = []
    await line.obey(
        lambda: words.append("leave"), lambda: words.append("retire"), lambda: words.append("stop")
    )
    return words


async def test_words_are_obeyed_up_to_the_last(ends: tuple[Line, socket.socket]) -> None:
    line, parent = ends
    parent.send(LEAVE + RETIRE)
    assert await obeyed(line) == ["leave", "retire"]


async def test_the_end_of_the_line_is_a_stop(ends: tuple[Line, socket.socket]) -> None:
    line, parent = ends
    parent.send(LEAVE)
    parent.close()
    assert await obeyed(line) == ["leave", "stop"]


async def test_a_parent_that_was_killed_before_it_heard_us_is_an_end_too(
    ends: tuple[Line, socket.socket],
) -> None:
    line, parent = ends
    beating = asyncio.create_task(line.beat())
    await asyncio.to_thread(parent.recv, 1, socket.MSG_PEEK)
    beating.cancel()
    parent.close()  # with a beat that nobody took off the line: the kernel resets it
    assert await obeyed(line) == ["stop"]
