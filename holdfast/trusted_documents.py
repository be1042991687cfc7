"""The documents that an operator trusts, as graphql-codegen's client preset writes them.

``persisted-documents.json`` is a JSON object of documents by the hash of their text. The preset hashes with SHA-1
unless told ``persistedDocuments: { hashAlgorithm: 'sha256' }``; here each must be the SHA-256 that clients ask by.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson

from holdfast.terminal import CommandFailed, say
from holdfast.transport.trusted import PREFIX, TrustedDocuments, hash_of
from schema.documents import DocumentRejected
from schema.executor import Executor

NAME = "persisted-documents.json"
MANY = 200
"""Documents whose validation takes long enough to say so: about a quarter of a second."""


def trusted_documents(folder: Path, executor: Executor, *, only: bool) -> TrustedDocuments:
    """All documents in a folder and those below it, parsed and validated; ``only`` lets no others run.

    Raises:
        CommandFailed: there are none, or a file, a hash or a document of them is wrong; all the wrong ones are named.

    """
    files = sorted(folder.rglob(NAME))
    if not files:
        raise CommandFailed(f"HOLDFAST_TRUSTED_DOCUMENTS: there is no {NAME} in {folder}.")
    texts = {text for file in files for text in _read(file)}
    if len(texts) >= MANY:
        say(f"Validating {len(texts)} trusted documents ...")
    if wrong := [line for text in sorted(texts) for line in _wrong(executor, text)]:
        raise CommandFailed("\n".join(["Trusted documents that are not valid here:", *wrong]))
    return TrustedDocuments(texts, only=only)


def _read(file: Path) -> Iterator[str]:
    try:
        documents = orjson.loads(file.read_bytes())
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}.") from None
    except orjson.JSONDecodeError as error:
        raise CommandFailed(f"{file} is not JSON: {error.msg}.") from None
    if not isinstance(documents, dict) or not all(isinstance(text, str) for text in documents.values()):
        raise CommandFailed(f"{file} is not an object of documents by their hash.")
    for given, text in documents.items():
        if given.removeprefix(PREFIX) != hash_of(text):
            raise CommandFailed(
                f"{file}: {given} is not the SHA-256 of its document. For the client preset of graphql-codegen set "
                "persistedDocuments: { hashAlgorithm: 'sha256' }."
            )
        yield text


def _wrong(executor: Executor, text: str) -> Iterator[str]:
    try:
        executor.trust(text)
    except DocumentRejected as rejected:
        beginning = " ".join(text.split())[:60]
        yield f"  {beginning} ...: {rejected}"
