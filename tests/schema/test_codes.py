"""Login codes as clients get them: the text drawn anew is the code that a phone reads."""

from __future__ import annotations

import re
import time
from io import BytesIO
from uuid import uuid4

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from schema.types.codes import drawn

DOT = 4


def animated(second: int) -> str:
    return f"bankid.{uuid4()}.{second}.{uuid4().hex}{uuid4().hex}"


def raster(svg: bytes) -> Image.Image:
    """What a browser shows of a code: horizontal strokes of one dot, which move and draw relatively."""
    (size,) = {int(side) for side in re.findall(rb'(?:width|height)="(\d+)"', svg)}
    strokes = re.search(rb'stroke="#000" d="([^"]+)"', svg)
    assert strokes is not None
    image = Image.new("L", (size, size), "white")
    pen, x, y = ImageDraw.Draw(image), 0.0, 0.0
    for step, numbers in re.findall(r"([Mmh])([-\d. ]+)", strokes[1].decode()):
        there = [float(number) for number in numbers.split()]
        if step == "h":
            pen.rectangle((x * DOT, (y - 0.5) * DOT, (x + there[0]) * DOT - 1, (y + 0.5) * DOT - 1), "black")
            x += there[0]
        else:
            x, y = (there[0], there[1]) if step == "M" else (x + there[0], y + there[1])
    return image


@pytest.mark.feature("S1.28")
def test_a_code_drawn_from_its_text_is_read_back() -> None:
    texts = [animated(second) for second in range(60)]
    texts += [
        "bankid:///?autostarttoken=x",
        "Ålesund, körprov " * 9,
        "0" * 300,
        "https://portal.example/login?order=1",
    ]
    for text in texts:
        (found,) = zxingcpp.read_barcodes(
            raster(drawn(text)), formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
        )
        assert found.text == text


def test_a_drawn_code_is_an_image_by_itself() -> None:
    svg = drawn(animated(1))
    assert svg.startswith(b'<svg xmlns="http://www.w3.org/2000/svg"')
    assert b'fill="#fff"' in svg, "on a dark page a code without ground cannot be read"
    assert BytesIO(svg).getvalue().count(b"<path") == 2


def test_drawing_a_code_takes_a_fraction_of_a_percent_of_a_second() -> None:
    text = animated(1)
    drawn(text)
    begun = time.process_time()
    for _ in range(20):
        drawn(text)
    assert (time.process_time() - begun) / 20 < 0.005  # choosing among eight masks takes more than that
