"""A small site that shows codes in every way that portals do, changing as fast as asked; it notes what it showed when.

``/?as=canvas&every=100&count=40`` shows codes 0 to 39, one each 100 ms; with ``every=0`` the next one at ``show()``.
``/within?host=...`` shows the same in a frame of that host. A page that is loaded
again goes on where it was, unless it is in a frame of another site.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlencode

import segno
from aiohttp import web
from aiohttp.typedefs import Handler
from PIL import Image
from playwright.async_api import Page

VARIANTS = (
    "img", "img-small", "img-blob", "img-url", "img-svg", "img-elsewhere",
    "canvas-replaced", "canvas", "canvas-tainted", "svg", "svg-path", "svg-rects", "svg-elsewhere",
)  # fmt: skip


def text_of(number: int) -> str:
    """The text of a code: as long, and changing as much, as a real one."""
    return f"bankid.67df3917-fa0d-44e5-b327-edcc928297f8.{number % 30}.{number * 0x9E3779B97F4A7C15:064x}"


@lru_cache(maxsize=1024)
def _code(number: int) -> segno.QRCode:
    return segno.make(text_of(number), error="l", micro=False)


def png_of(number: int, scale: int = 6) -> bytes:
    """The picture of a code."""
    rows = bytes(255 * (not dark) for row in _code(number).matrix_iter(border=2) for dark in row)
    side = int(_code(number).symbol_size(border=2)[0])
    out = io.BytesIO()
    code = Image.frombytes("L", (side, side), rows)
    code.resize((side * scale, side * scale), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


def _drawn(number: int, variant: str) -> dict[str, object]:
    """What a page needs to show a code in this way."""
    kinds: dict[str, Callable[[], object]] = {
        "rows": lambda: [list(map(int, row)) for row in _code(number).matrix_iter(border=2)],
        "png": lambda: base64.b64encode(png_of(number)).decode(),
        "small": lambda: base64.b64encode(png_of(number, 1)).decode(),
        "svg": lambda: _code(number).svg_inline(scale=6, border=2),
        "file": lambda: _code(number).svg_data_uri(scale=6, border=2),
    }
    own = {"img": "png", "img-blob": "png", "img-small": "small", "img-svg": "file", "svg": "svg"}
    kind = own.get(variant, "rows")
    return {"text": text_of(number), kind: kinds[kind]()}


@dataclass(frozen=True)
class Site:
    """Where it runs: the same under two origins, and under two sites."""

    port: int
    asked: list[str] = field(default_factory=list)
    """The paths that were asked for."""

    def url(self, variant: str, *, within: str = "", every: int = 0, count: int = 40) -> str:
        """A page that shows codes in this way; ``within`` a frame of this host."""
        query = urlencode({"as": variant, "every": every, "count": count, "host": within})
        return f"http://127.0.0.1:{self.port}/{'within' if within else ''}?{query}"


async def changes(page: Page) -> list[tuple[str, float]]:
    """What the page, or the frame in it, showed so far: texts, and when by its clock in milliseconds."""
    return [(text, at) for text, at in await page.frames[-1].evaluate("changes")]


@asynccontextmanager
async def code_site() -> AsyncIterator[Site]:
    """Serve it on a free port."""
    asked: list[str] = []

    @web.middleware
    async def noted(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked.append(request.path)
        return await handler(request)

    app = web.Application(middlewares=[noted])
    app.router.add_get("/", _page)
    app.router.add_get("/within", _within)
    app.router.add_get("/codes", _codes)
    app.router.add_get("/code/{number}", _picture)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Site(runner.addresses[0][1], asked)
    finally:
        await runner.cleanup()


async def _codes(request: web.Request) -> web.Response:
    first, count = int(request.query["first"]), int(request.query["count"])
    return web.json_response([_drawn(number, request.query["as"]) for number in range(first, first + count)])


async def _picture(request: web.Request) -> web.Response:
    return web.Response(body=png_of(int(request.match_info["number"])), content_type="image/png")


async def _page(request: web.Request) -> web.Response:
    return web.Response(
        text=PAGE.replace("OPTIONS", json.dumps(dict(request.query))), content_type="text/html"
    )


async def _within(request: web.Request) -> web.Response:
    inner = f"http://{request.query['host']}:{request.url.port}/?{request.query_string}"
    frame = f'<!doctype html><p>Sign in</p><iframe src="{inner.replace("&", "&amp;")}" width=400 height=400></iframe>'
    return web.Response(text=frame, content_type="text/html")


PAGE = """<!doctype html>
<meta http-equiv="Content-Security-Policy" content="img-src 'self' data: blob: http://localhost:*">
<title>Sign in</title>
<a id="same-device" href="bankid:///?autostarttoken=none">Sign in on this device</a>
<div id="code"></div>
<script>
const options = OPTIONS;
const place = document.querySelector("#code");
const changes = [];
const draw = (canvas, rows, image) => {
  const side = 6 * rows.length;
  canvas.getContext("2d").fillStyle = "white";
  canvas.getContext("2d").fillRect(0, 0, side, side);
  canvas.getContext("2d").fillStyle = "black";
  rows.forEach((row, y) => row.forEach((dark, x) => dark && canvas.getContext("2d").fillRect(6 * x, 6 * y, 6, 6)));
};
const fresh = (rows) => {
  const canvas = document.createElement("canvas");
  return Object.assign(canvas, {width: 6 * rows.length, height: 6 * rows.length});
};
const only = (kind) => place.querySelector(kind) ?? place.appendChild(document.createElement(kind));
const shape = (rows, rect) => `<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300" `
  + `viewBox="0 0 ${rows.length} ${rows.length}"><rect fill="#fff" width="${rows.length}" height="${rows.length}"/>`
  + `<g class="dark">${rect}</g></svg>`;
const ways = {
  "img": ({png}) => { only("img").src = "data:image/png;base64," + png; },
  "img-small": ({small}) => { only("img").src = "data:image/png;base64," + small; only("img").width = 300; },
  "img-svg": ({file}) => { only("img").src = file; },
  "img-blob": async ({png}) => {
    const blob = new Blob([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))], {type: "image/png"});
    only("img").src = URL.createObjectURL(blob);
  },
  "img-url": (_, number) => { only("img").src = `/code/${number}`; },
  "img-elsewhere": (_, number) => { only("img").src = `http://localhost:${location.port}/code/${number}`; },
  "canvas-replaced": ({rows}) => { const canvas = fresh(rows); draw(canvas, rows); place.replaceChildren(canvas); },
  "canvas": ({rows}) => {
    const canvas = place.querySelector("canvas") ?? place.appendChild(fresh(rows));
    draw(canvas, rows);
  },
  "canvas-tainted": async ({rows}, number) => {
    const image = new Image();
    image.src = `http://localhost:${location.port}/code/${number}`;
    await image.decode();
    const canvas = place.querySelector("canvas") ?? place.appendChild(fresh(rows));
    canvas.getContext("2d").drawImage(image, 0, 0);
  },
  "svg": ({svg}) => { place.innerHTML = svg; },
  "svg-path": ({rows}) => {
    if (!place.firstChild) place.innerHTML = shape(rows, "<path/>");
    place.querySelector("path").setAttribute("d",
      rows.flatMap((row, y) => row.map((dark, x) => dark ? `M${x} ${y}h1v1h-1z` : "")).join(""));
  },
  "svg-rects": ({rows}) => {
    const rect = (x, y) => `<rect x="${x}" y="${y}" width="1" height="1"/>`;
    place.innerHTML = shape(rows, rows.flatMap((row, y) => row.map((dark, x) => dark ? rect(x, y) : "")).join(""));
  },
  "svg-elsewhere": (_, number) => {
    place.innerHTML = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300">'
      + `<image width="300" height="300" href="http://localhost:${location.port}/code/${number}"/></svg>`;
  },
  "blank": ({rows}) => { place.replaceChildren(fresh(rows)); },
};
const [every, count] = [Number(options.every ?? 1000), Number(options.count ?? 40)];
let codes = [];
let kept = {};
// In a frame of another site some browsers have a store, and some have none: here none has.
const near = (origin) => new URL(origin).hostname === location.hostname;
if ([...location.ancestorOrigins].every(near)) kept = sessionStorage;
let number = Number(kept.number ?? 0);
const show = async () => {
  if (number >= count) return;
  const code = codes[number];
  kept.number = number + 1;
  const at = Date.now();
  changes.push([code.text, at]);
  globalThis.bare?.(String(at)); // what a measurement compares with
  await ways[options.as](code, number++);
};
fetch(`/codes?first=0&count=${count}&as=${options.as}`).then((answer) => answer.json()).then((all) => {
  codes = all;
  show();
  if (every) setInterval(show, every);
});
</script>
"""
