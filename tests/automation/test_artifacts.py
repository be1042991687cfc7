"""What is kept of a failure says nothing of whose it was, and is handed out for ten minutes only."""

from __future__ import annotations

import io
import json
import os
import re
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

import pytest
import segno
import zxingcpp
from httpx2 import ASGITransport, AsyncClient
from PIL import Image
from starlette.applications import Starlette

from automation.capture.artifacts import Artifacts, file_name
from automation.capture.evidence import UNDRAWN
from domain.ids import new_id
from domain.jobs import Artifact, ArtifactKind
from domain.portals import PortalChanged
from holdfast.artifacts import SignedArtifacts
from tests.automation.visiting import a_job, browsing, site

CODE = "bankid.67df3917-fa0d-44e5-b327-edcc928297f8.3." + "ab" * 32
PERSON = ("Andersson", "19900101-1234", "070-123", "anna@")

PAGE = """<!doctype html><title>Anna Andersson</title>
<style>.name::before { content: "Anna Andersson" } #bg { width: 300px; height: 300px; background: url(CODE) }</style>
<body data-person="19900101-1234" title="Anna Andersson">
<nav><button class="name">Anna Andersson</button></nav>
<p id="p19900101-1234">19900101-1234 <input value="19900101-1234"> <textarea>anna@portal.example</textarea></p>
<a href="/?person=19900101-1234">070-123 45 67</a> <select><option>Anna Andersson</option></select>
<img src="CODE" alt="Anna Andersson"> <div id="svg">SVG</div> <div id="bg"></div> <iframe src="/code"></iframe>
<canvas id="canvas" width="300" height="300"></canvas> <x-person></x-person> <div contenteditable>Anna Andersson</div>
<!-- Anna Andersson --> <script>
const person = "Anna Andersson 19900101-1234";
customElements.define("x-person", class extends HTMLElement {
  connectedCallback() { this.attachShadow({ mode: "open" }).innerHTML = `<b>${person}</b><img src="CODE">` } });
const drawn = document.querySelector("img");
const draw = () => { canvas.getContext("2d").drawImage(drawn, 0, 0);
  document.querySelector("p").firstChild.data = person + Date.now(); };
setInterval(draw, 5);
</script>
""".replace("CODE", segno.make(CODE).png_data_uri(scale=4, border=4)).replace(
    "SVG", segno.make(CODE).svg_inline(scale=4, border=4)
)
PAGES = {"/": PAGE, "/code": f"<p>{CODE}</p><p>Anna Andersson</p>{segno.make(CODE).svg_inline(scale=4)}"}


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def codes_on(picture: bytes) -> list[str]:
    return [found.text for found in zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)).convert("L"))]


def assert_silent(content: bytes) -> None:
    """Neither of the person, nor of the code, nor of the page's address and query."""
    for secret in (*PERSON, CODE, "bankid", "67df3917", "data:image", "person="):
        assert secret.encode() not in content, secret


@pytest.mark.browser
async def test_a_picture_and_a_trace_of_a_failure_tell_neither_code_nor_person(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    job = a_job()
    async with (
        site(PAGES) as portal,
        browsing(tmp_path / "run", portal.origin, artifacts=artifacts) as here,
        here.visit(job) as visit,
    ):
        await visit.arrive()
        assert CODE in codes_on(await visit.page.screenshot(full_page=True))
        with pytest.raises(PortalChanged):
            await visit.search({"button": "Book"})
        kept = await here.visits.witness(job.id)
        assert "person=" in visit.page.url or visit.page.url.startswith(portal.origin)
        assert codes_on(await visit.page.screenshot(full_page=True, style=UNDRAWN)) == []
    by_kind = {each.kind: (artifacts.folder / file_name(each)).read_bytes() for each in kept}
    assert set(by_kind) == set(ArtifactKind)
    assert codes_on(by_kind[ArtifactKind.SCREENSHOT]) == []
    assert Image.open(io.BytesIO(by_kind[ArtifactKind.SCREENSHOT])).size == (1280, 900)
    with ZipFile(io.BytesIO(by_kind[ArtifactKind.TRACE])) as trace:
        assert trace.namelist() == ["trace.trace", "trace.network"]
        for name in trace.namelist():
            assert_silent(trace.read(name))
        events = [json.loads(line) for line in trace.read("trace.trace").splitlines()]
    steps = [event["title"] for event in events if event["type"] == "before"]
    assert steps == ["arrive", "search"]
    assert events[-2]["error"]["name"] == "PortalChanged"
    shown = json.dumps(events[-1]["snapshot"]["html"])
    assert "xxxx xxxxxxxxx" in shown
    assert "00000000-0000" in shown


@pytest.mark.browser
async def test_nothing_is_written_while_a_visit_goes_well(artifacts: Artifacts, tmp_path: Path) -> None:
    async with (
        site(PAGES) as portal,
        browsing(tmp_path / "run", portal.origin, artifacts=artifacts) as here,
        here.visit() as visit,
    ):
        await visit.arrive()
        for path in (tmp_path / "run").rglob("*"):
            if path.is_file() and path.stat().st_size < 10**7:
                assert CODE.encode() not in path.read_bytes()
                assert b"Andersson" not in path.read_bytes(), path
    assert not artifacts.folder.exists()


@pytest.mark.browser
async def test_a_page_that_goes_on_meanwhile_is_not_kept(artifacts: Artifacts, tmp_path: Path) -> None:
    refreshing = {"/": '<meta http-equiv="refresh" content="0"><h1>Anna Andersson</h1>'}
    job = a_job()
    async with (
        site(refreshing) as portal,
        browsing(tmp_path / "run", portal.origin, artifacts=artifacts) as here,
        here.visit(job) as visit,
    ):
        await visit.arrive()
        kept = await here.visits.witness(job.id)
        assert await here.visits.witness(new_id()) == ()
    for each in kept:
        if each.kind is ArtifactKind.TRACE:
            with ZipFile(artifacts.folder / file_name(each)) as trace:
                assert_silent(trace.read("trace.trace"))


def test_files_are_their_owners_alone_and_forgotten_in_time(artifacts: Artifacts) -> None:
    job, other = new_id(), new_id()
    old, young = (artifacts.put(each, ArtifactKind.TRACE, b"x") for each in (job, other))
    path = artifacts.folder / file_name(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    os.utime(path, (0, 0))
    assert artifacts.forget(timedelta(hours=72)) == 1
    assert [found.name for found in artifacts.folder.iterdir()] == [str(other)]
    assert (artifacts.folder / file_name(young)).exists()


class Clock:
    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signed(artifacts: Artifacts, clock: Clock) -> SignedArtifacts:
    return SignedArtifacts(artifacts.folder, b"k" * 32, "https://tickets.example", clock)


@pytest.fixture
async def client(signed: SignedArtifacts) -> AsyncIterator[AsyncClient]:
    app = Starlette(routes=[signed.route()])
    async with AsyncClient(transport=ASGITransport(app), base_url="https://tickets.example") as opened:
        yield opened


@pytest.mark.parametrize(
    ("kind", "media_type", "disposition"),
    [
        (ArtifactKind.SCREENSHOT, "image/jpeg", "inline"),
        (ArtifactKind.TRACE, "application/zip", "attachment"),
    ],
)
async def test_a_signed_address_is_good_for_ten_minutes_and_stored_nowhere(
    kind: ArtifactKind,
    media_type: str,
    disposition: str,
    artifacts: Artifacts,
    signed: SignedArtifacts,
    client: AsyncClient,
    clock: Clock,
) -> None:
    url = signed.url(artifacts.put(new_id(), kind, b"content"))
    answer = await client.get(url)
    assert (answer.status_code, answer.content) == (200, b"content")
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"].startswith(disposition)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    clock.at += 599
    assert (await client.get(url)).status_code == 200
    clock.at += 2
    assert (await client.get(url)).status_code == 404


async def test_forged_expired_and_unknown_addresses_are_answered_alike(
    artifacts: Artifacts, signed: SignedArtifacts, client: AsyncClient, clock: Clock
) -> None:
    mine, other = (artifacts.put(new_id(), ArtifactKind.TRACE, b"content") for _ in range(2))
    url = signed.url(mine)
    parts = urlsplit(url)
    expires, signature = (parse_qs(parts.query)[name][0] for name in ("expires", "signature"))
    gone = Artifact(new_id(), new_id(), ArtifactKind.TRACE, mine.taken_at)
    wrong = [
        f"{parts.path}",
        f"{parts.path}?expires={expires}",
        f"{parts.path}?expires={int(expires) + 1}&signature={signature}",
        f"{parts.path}?expires=x&signature={signature}",
        f"{parts.path}?expires={expires}&signature={signature[:-2]}",
        f"{parts.path}?expires={expires}&signature=%F0%9F%98%80",
        f"/artifacts/{file_name(other)}?{parts.query}",
        f"{parts.path.replace('.zip', '.jpg')}?{parts.query}",
        f"/artifacts/..%2F..%2Fsecret/x.zip?{parts.query}",
        signed.url(gone),
        "/nowhere",
    ]
    answers = [await client.get(each) for each in wrong]
    assert {(each.status_code, each.content, str(each.headers)) for each in answers} == {
        (404, answers[0].content, str(answers[0].headers))
    }
    clock.at += 601
    assert (await client.get(url)).content == answers[0].content
    other_house = SignedArtifacts(artifacts.folder, b"o" * 32, "https://tickets.example", clock)
    assert (await client.get(other_house.url(mine))).status_code == 404
    assert re.fullmatch(r"https://tickets\.example/artifacts/[0-9a-f-]{36}/[0-9a-f-]{36}\.zip\?.+", url)
