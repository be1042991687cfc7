"""Posts signed messages with aiohttp and does nothing else: ``<url> <count> <at once>``; tells how many a second."""

from __future__ import annotations

import asyncio
import hmac
import sys
import time
from base64 import b64encode

import aiohttp

BODY = b"x" * 400


async def main(url: str, count: int, at_once: int) -> float:
    """Messages a second."""
    numbers = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def sender() -> None:
            for number in numbers:
                id_, now = f"bare_{number}", str(int(time.time()))
                mac = hmac.digest(b"k" * 32, f"{id_}.{now}.".encode() + BODY, "sha256")
                headers = {
                    "content-type": "application/json",
                    "webhook-id": id_,
                    "webhook-timestamp": now,
                    "webhook-signature": f"v1,{b64encode(mac).decode()}",
                }
                async with session.post(url, data=BODY, headers=headers) as answer:
                    await answer.read()

        began = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(at_once)))
        return count / (time.perf_counter() - began)


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
