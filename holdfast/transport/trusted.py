"""Documents that are known beforehand and asked for by their id.

The rules are those of the appendix "Persisted Documents" of GraphQL over HTTP.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256

from schema.documents import DocumentRejected
from schema.errors import WireError

PREFIX = "sha256:"


@dataclass(frozen=True)
class TrustedDocuments:
    """Documents by the lower-case hexadecimal SHA-256 of their text; where ``only`` is set, no others run."""

    texts: Collection[str] = ()
    only: bool = False
    _by_hash: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_hash", {hash_of(text): text for text in self.texts})
        object.__setattr__(self, "texts", frozenset(self.texts))

    def text(self, query: str | None, document_id: str | None) -> str:
        """The document that a request means. Raises DocumentRejected where it is not known and would have to be.

        ``document_id`` is "sha256:<hex>", as the appendix writes it, or the hexadecimal digits alone, as
        graphql-codegen's client preset does. Where both are given, they must be of one document.
        """
        if document_id is None:
            if query is None or (self.only and query not in self.texts):
                raise DocumentRejected([_ONLY_TRUSTED])
            return query
        known = self._by_hash.get(document_id.removeprefix(PREFIX))
        if known is None:
            raise DocumentRejected([_NOT_FOUND])
        if query is not None and query != known:
            raise DocumentRejected([_TWO_DOCUMENTS])
        return known


def hash_of(text: str) -> str:
    """The lower-case hexadecimal SHA-256 (RFC 6234) of a document's UTF-8 text."""
    return sha256(text.encode()).hexdigest()


def _error(code: str, message: str) -> WireError:
    return {"message": message, "extensions": {"code": code}}


_NOT_FOUND = _error(
    "PERSISTED_DOCUMENT_NOT_FOUND",
    "This server knows no document of that id, which is the SHA-256 of its text: give the server your "
    "persisted-documents.json (HOLDFAST_TRUSTED_DOCUMENTS) and restart it.",
)
_ONLY_TRUSTED = _error(
    "PERSISTED_DOCUMENT_ID_REQUIRED",
    "This server runs only documents that it knows: send the documentId of one of them in place of a query.",
)
_TWO_DOCUMENTS = _error(
    "PERSISTED_DOCUMENT_MISMATCH", "The query is not the document of the documentId: send one of the two."
)
