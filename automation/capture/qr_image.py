"""Reading a login code off a picture of it."""

from __future__ import annotations

import io
import math
from typing import Final

import zxingcpp
from PIL import Image, ImageOps, UnidentifiedImageError

LARGEST: Final = 4_000_000
"""Pixels: a page's picture is unpacked here, so it must not be able to grow."""

READABLE: Final = 320
QUIET: Final = 40
"""Pixels of white around a code that was drawn without any (ISO/IEC 18004 asks for four modules)."""


def text_of(png: bytes) -> str | None:
    """The text of the code on a PNG; None where there is none that can be read."""
    try:
        picture = Image.open(io.BytesIO(png), formats=("PNG",))
        if math.prod(picture.size) > LARGEST:
            return None
        grey = _on_white(picture)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    if (scale := READABLE // max(grey.size)) > 1:
        grey = grey.resize((grey.width * scale, grey.height * scale), Image.Resampling.NEAREST)
    return _read(grey) or _read(ImageOps.expand(grey, QUIET, fill=255))


def _on_white(picture: Image.Image) -> Image.Image:
    """Grey; what can be seen through becomes white, as it is on a page."""
    if picture.mode in ("1", "L"):
        return picture.convert("L")
    colours = picture.convert("RGBA")
    if colours.getchannel("A").getextrema() != (255, 255):
        colours = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    return colours.convert("L")


def _read(grey: Image.Image) -> str | None:
    found = zxingcpp.read_barcodes(grey, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
    return found[0].text if found else None
