"""What is shown at this moment and kept nowhere: login codes, and pictures of a job's page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from io import BytesIO
from typing import Self

import strawberry

from domain import live
from schema.batches import batched
from schema.context import Context
from schema.ids import encode

MASK = 0
"""One mask (ISO/IEC 18004, 7.8) for every code: trying all eight takes 6 ms, and of random text none is better."""


@strawberry.enum(description="How a code is drawn.")
class QrFormat(StrEnum):
    """PNG is the portal's own picture; SVG is drawn from the text."""

    PNG = "PNG"
    SVG = "SVG"


@strawberry.type
class QrCode:
    """A login code as the portal shows it. An animated code changes every second; `frame` grows by one each time."""

    job_id: strawberry.ID
    frame: int
    text: str = strawberry.field(
        description="The text in the code, so that a client can draw it crisply itself."
    )
    shown_at: datetime = strawberry.field(description="When the portal's page changed.")
    delivered_at: datetime = strawberry.field(description="When it was ready for subscribers.")
    expires_at: datetime
    autostart_url: str | None = strawberry.field(
        description="For signing in on the same device, where the portal offers it."
    )
    value: strawberry.Private[live.LoginCode]

    @batched
    @staticmethod
    async def image_data_url(
        codes: Sequence[QrCode], context: Context, format: QrFormat | None = QrFormat.PNG
    ) -> list[str]:
        """The code as an image: what the portal shows (PNG), or drawn from its text (SVG)."""
        if format is QrFormat.SVG:
            return [_data_url("image/svg+xml", drawn(one.value.text)) for one in codes]
        return [_data_url("image/png", one.value.image) for one in codes]

    @classmethod
    def of(cls, value: live.LoginCode) -> Self:
        """From the trade's value."""
        return cls(
            job_id=strawberry.ID(encode("AutomationJob", value.job_id)),
            frame=value.frame,
            text=value.text,
            shown_at=value.shown_at,
            delivered_at=value.delivered_at,
            expires_at=value.expires_at,
            autostart_url=value.autostart_url,
            value=value,
        )


@strawberry.type
class ScreenPicture:
    """A job's page as a picture; personal fields are masked, and for everybody but the owner the code is."""

    job_id: strawberry.ID
    frame: int
    taken_at: datetime
    value: strawberry.Private[live.Picture]

    @strawberry.field
    def image_data_url(self) -> str:
        """The picture, a JPEG."""
        return _data_url("image/jpeg", self.value.image)

    @classmethod
    def of(cls, value: live.Picture) -> Self:
        """From the trade's value."""
        return cls(
            job_id=strawberry.ID(encode("AutomationJob", value.job_id)),
            frame=value.frame,
            taken_at=value.taken_at,
            value=value,
        )


def drawn(text: str) -> bytes:
    """The QR code of a text as SVG, black on white with its quiet zone."""
    import segno  # only who asks for SVG needs it

    image = BytesIO()
    code = segno.make_qr(text, error="m", encoding="utf-8", boost_error=False, mask=MASK)
    code.save(image, kind="svg", xmldecl=False, light="white", scale=4)
    return image.getvalue()


def _data_url(kind: str, image: bytes) -> str:
    return f"data:{kind};base64,{b64encode(image).decode()}"
