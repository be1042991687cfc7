"""Documents that are known beforehand, as graphql-codegen's client preset writes them down, asked for by their id.

``trusted/persisted-documents.json`` has the form of that preset with ``hashAlgorithm: 'sha256'``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from holdfast.terminal import CommandFailed
from holdfast.transport.trusted import TrustedDocuments, hash_of
from holdfast.trusted_documents import MANY, trusted_documents
from holdfast.web import Web, make_web
from schema.documents import DocumentRejected
from schema.executor import Executor
from schema.root import schema
from tests.clients import GraphQLHttp, Json
from tests.holdfast.transport.conftest import Site, serving
from tests.holdfast.visiting import visiting
from tests.processes import Holdfast
from tests.world import World, new_world

SAMPLE = Path(__file__).with_name("trusted")
TEXTS: dict[str, str] = json.loads((SAMPLE / "persisted-documents.json").read_text())
IDS = {text.split("(")[0].split()[1]: key for key, text in TEXTS.items()}
SERVER, HOLD = IDS["WhichServer"], IDS["HoldSeats"]


def written(folder: Path, documents: object, name: str = "persisted-documents.json") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(documents if isinstance(documents, str) else json.dumps(documents))
    return folder


def load(folder: Path, *, only: bool = True) -> TrustedDocuments:
    return trusted_documents(folder, Executor(schema), only=only)


def by_hash(*texts: str, algorithm: str = "sha256") -> dict[str, str]:
    return {hashlib.new(algorithm, text.encode()).hexdigest(): text for text in texts}


def test_the_id_of_a_document_is_the_one_that_the_appendix_computes() -> None:
    example = "query($id:ID!){user(id:$id){name}}"
    assert hash_of(example) == "71f7dc5758652baac68e4a10c50be732b741c892ade2883a99358f52b555286b"


def test_every_file_in_the_folder_counts_so_that_older_clients_go_on(tmp_path: Path) -> None:
    written(tmp_path, by_hash("{ server { version } }"))
    written(tmp_path, by_hash("{ server { now } }"), "last-month/persisted-documents.json")
    assert load(tmp_path).texts == {"{ server { version } }", "{ server { now } }"}


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        (by_hash("{ server { version } }", algorithm="sha1"), "hashAlgorithm: 'sha256'"),
        ({"a" * 64: "{ server { version } }"}, "is not the SHA-256 of its document"),
        ("{", "is not JSON"),
        ("[]", "not an object of documents"),
        ('{"a": 1}', "not an object of documents"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_and_says_why(
    tmp_path: Path, documents: object, says: str
) -> None:
    with pytest.raises(CommandFailed, match=says):
        load(written(tmp_path, documents))


def test_a_folder_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"there is no persisted-documents\.json"):
        load(tmp_path)


def test_all_documents_that_are_not_valid_are_named_at_once(tmp_path: Path) -> None:
    wrong = ("query First { nonsense }", "query Second { server { nothing } }", "query Third {")
    with pytest.raises(CommandFailed) as caught:
        load(written(tmp_path, by_hash("{ server { now } }", *wrong)))
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == [f"  {text} ..." for text in wrong]
    assert "nonsense" in lines[1]


def test_many_documents_are_told_of_while_they_are_validated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(written(tmp_path, by_hash(*(f"query N{number} {{ server {{ now }} }}" for number in range(MANY)))))
    assert f"Validating {MANY} trusted documents" in capsys.readouterr().err


def refused(documents: TrustedDocuments, query: str | None, document_id: str | None) -> str:
    with pytest.raises(DocumentRejected) as caught:
        documents.text(query, document_id)
    return str(caught.value.errors[0]["extensions"]["code"])


def test_what_may_run_depends_on_what_is_known_and_where() -> None:
    known = "{ server { version } }"
    production, development = TrustedDocuments([known], only=True), TrustedDocuments([known])
    for documents in (production, development):
        assert documents.text(None, hash_of(known)) == known
        assert documents.text(None, f"sha256:{hash_of(known)}") == known
        assert documents.text(known, None) == known
        assert documents.text(known, hash_of(known)) == known
        assert refused(documents, None, "0" * 64) == "PERSISTED_DOCUMENT_NOT_FOUND"
        assert refused(documents, None, f"md5:{hash_of(known)}") == "PERSISTED_DOCUMENT_NOT_FOUND"
        assert refused(documents, "{ other }", hash_of(known)) == "PERSISTED_DOCUMENT_MISMATCH"
    assert development.text("{ other }", None) == "{ other }"
    assert refused(production, "{ other }", None) == "PERSISTED_DOCUMENT_ID_REQUIRED"


@pytest.fixture
async def world(data_dir: Path, database_url: str) -> AsyncIterator[World]:
    """A world in production that trusts the sample."""
    more: Json = {"environment": "production", "trusted_documents": SAMPLE}
    async with new_world(data_dir, database_url, **more) as made:
        yield made


@pytest.fixture
def web(world: World) -> Web:
    return make_web(world.app)


async def post(client: httpx2.AsyncClient, **body: Any) -> httpx2.Response:
    headers = {"accept": "application/graphql-response+json"}
    return await client.post("/graphql", json=body, headers=headers)


def code_of(answer: httpx2.Response) -> str:
    (error,) = answer.json()["errors"]
    return str(error["extensions"]["code"])


async def test_in_production_known_documents_alone_run_over_http(world: World, web: Web) -> None:
    departure = await world.departure()
    variables = {"id": departure.id, "labels": ["A1"]}
    async with visiting(web) as client:
        held = (await post(client, documentId=f"sha256:{HOLD}", variables=variables)).json()
        assert "errors" not in held, held
        assert held["data"]["reserve"]["__typename"] == "Reservation"
        assert (await post(client, documentId=SERVER)).json()["data"]["server"]["version"]
        assert (await post(client, query=TEXTS[SERVER])).json()["data"]["server"]["version"]
        unknown = await post(client, query="{ server { version } }")
        assert (unknown.status_code, code_of(unknown)) == (400, "PERSISTED_DOCUMENT_ID_REQUIRED")
        lost = await post(client, documentId="0" * 64)
        assert (lost.status_code, code_of(lost)) == (400, "PERSISTED_DOCUMENT_NOT_FOUND")
        assert "HOLDFAST_TRUSTED_DOCUMENTS" in lost.json()["errors"][0]["message"]
        read = await client.get("/graphql", params={"documentId": f"sha256:{SERVER}", "operationName": ""})
        assert read.json()["data"]["server"]["version"]
        written = await client.get(
            "/graphql", params={"documentId": HOLD, "variables": json.dumps(variables)}
        )
        assert written.status_code == 405
        assert code_of(await post(client)) == "BAD_REQUEST"
        assert code_of(await post(client, documentId=7)) == "BAD_REQUEST"
    tallies = web.watch.operations.tallies
    assert set(tallies) == {("WhichServer", "query"), ("HoldSeats", "mutation")}
    assert web.transport.refused["PERSISTED_DOCUMENT_ID_REQUIRED"] == 1


async def test_in_development_anything_runs_and_known_documents_by_their_id(
    data_dir: Path, database_url: str
) -> None:
    async with (
        new_world(data_dir, database_url, trusted_documents=SAMPLE) as world,
        visiting(make_web(world.app)) as client,
    ):
        assert (await post(client, query="{ server { version } }")).json()["data"]
        assert (await post(client, documentId=SERVER)).json()["data"]


@asynccontextmanager
async def toy_site() -> AsyncIterator[Site]:
    documents = ("query Hello { hello }", "subscription Ticks { ticks(count: 2) }")
    async with serving(trusted=TrustedDocuments(documents, only=True)) as site:
        yield site


async def test_known_documents_run_over_sockets_and_event_streams_by_their_id() -> None:
    async with toy_site() as site:
        ticks = hash_of("subscription Ticks { ticks(count: 2) }")
        async with await site.socket() as socket:
            await socket.send({"id": "1", "type": "subscribe", "payload": {"documentId": f"sha256:{ticks}"}})
            told = [await socket.answer() for _ in range(3)]
            assert [each["type"] for each in told] == ["next", "next", "complete"]
            await socket.send({"id": "2", "type": "subscribe", "payload": {"query": "{ user }"}})
            refusal = await socket.answer()
            assert refusal["type"] == "error"
            assert refusal["payload"][0]["extensions"]["code"] == "PERSISTED_DOCUMENT_ID_REQUIRED"
        async with GraphQLHttp(site.url) as http:
            answer = await http.client.post(
                site.url, json={"documentId": ticks}, headers={"accept": "text/event-stream"}
            )
            assert answer.text.count("event: next") == 2
            answer = await http.client.post(
                site.url, json={"documentId": "0" * 64}, headers={"accept": "text/event-stream"}
            )
            assert "PERSISTED_DOCUMENT_NOT_FOUND" in answer.text


async def test_a_server_that_is_to_trust_a_wrong_document_does_not_start(
    data_dir: Path, database_url: str, tmp_path: Path
) -> None:
    written(tmp_path, by_hash("query Wrong { nonsense }"))
    with Holdfast(f"serve --trusted-documents {tmp_path}", data_dir, database_url=database_url) as process:
        assert await asyncio.to_thread(process.ended, 20) == 1
        assert "query Wrong { nonsense } ...: Cannot query field 'nonsense'" in process.said
        assert "Traceback" not in process.said
