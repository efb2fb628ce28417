"""Tokens of images and documents."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.counting.media import (
    block_tokens,
    document_tokens,
    image_cap_tokens,
    image_size_px,
    image_tokens,
)

OLD, NEW, GPT = "claude-sonnet-4-6", "claude-opus-5-5", "gpt-4o"


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(9)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(3)


def webp(chunk: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + chunk + bytes(4) + body


def webp_extended(width: int, height: int) -> bytes:
    return webp(
        b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )


def webp_lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little"))


def webp_lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height))


def jpeg(width: int, height: int, *, preview_bytes: int = 20, frame: int = 0xC0) -> bytes:
    """Return the head of a JPEG with an EXIF segment, a Huffman table and a frame header."""
    exif = b"\xff\xe1" + struct.pack(">H", preview_bytes + 2) + b"\xff\xc0" * (preview_bytes // 2)
    table = b"\xff\xc4" + struct.pack(">H", 5) + bytes(3)
    header = b"\xff\xff" + bytes([frame]) + struct.pack(">HBHHB", 8, 8, height, width, 1) + bytes(9)
    return b"\xff\xd8" + exif + table + header


def image(raw: bytes) -> dict[str, object]:
    source = {"type": "base64", "media_type": "image/png", "data": b64(raw)}
    return {"type": "image", "source": source}


def pdf(pages: int) -> bytes:
    page = b"<< /Type /Page /Parent 1 0 R >>\n"
    return b"%PDF-1.4\n<< /Type /Pages /Count 9 >>\n" + page * pages + b"<< /Type/PageLabel >>"


def document(source: object) -> dict[str, object]:
    return {"type": "document", "source": source}


# Formulas


@pytest.mark.parametrize(
    ("width_px", "height_px", "model", "tokens"),
    [
        (28, 28, OLD, 1),
        (29, 28, OLD, 2),
        (1, 1, OLD, 1),
        (200, 200, OLD, 64),  # 8 × 8
        (1_000, 1_000, OLD, 1_296),  # 36 × 36
        (1_092, 1_092, OLD, 1_521),  # 39 × 39
        (1_568, 784, OLD, 1_568),  # 56 × 28, just the cap
        (784, 1_568, OLD, 1_568),
        (2_000, 2_000, OLD, 1_521),  # scaled to 39 × 39; 40 × 40 would be 1,600
        (3_136, 28, OLD, 56),  # the edge alone: 1,568 × 14
        (2_000, 2_000, NEW, 4_761),  # 72 × 72 is too much: 69 × 69
        (1_000, 1_000, NEW, 1_296),
        (1_920, 1_080, NEW, 2_691),  # 69 × 39
        (5_152, 28, NEW, 92),  # 2,576 × 14
        (1_000, 1_000, "unheard-of", 1_296),
        (512, 512, GPT, 255),
        (513, 512, GPT, 425),
        (1_024, 1_024, GPT, 765),  # scaled to 768 × 768: four tiles
        (2_048, 4_096, GPT, 1_105),  # scaled to 768 × 1,536: six tiles
        (0, 100, OLD, 1_568),
        (100, -1, NEW, 4_784),
    ],
)
def test_image_tokens_worked_by_hand(
    width_px: int, height_px: int, model: str, tokens: int
) -> None:
    assert image_tokens(width_px, height_px, model) == tokens


@pytest.mark.parametrize(
    ("model", "tokens"),
    [(OLD, 1_568), (NEW, 4_784), ("claude-haiku-4-5", 1_568), ("unheard-of", 1_568), (GPT, 1_445)],
)
def test_cap(model: str, tokens: int) -> None:
    assert image_cap_tokens(model) == tokens


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from([OLD, NEW, GPT, "x"]))
def test_no_image_is_above_the_cap(width_px: int, height_px: int, model: str) -> None:
    tokens = image_tokens(width_px, height_px, model)
    assert 1 <= tokens <= image_cap_tokens(model)
    assert tokens == image_tokens(height_px, width_px, model)


# Sizes from headers

WRITERS = [png, gif, webp_extended, webp_lossless, webp_lossy, jpeg]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("size", [(1, 1), (640, 480), (300, 9_000)])
def test_size_of_each_format(write: object, size: tuple[int, int]) -> None:
    assert callable(write)
    assert image_size_px(b64(write(*size))) == size
    assert image_size_px(b64(write(*size) + bytes(1_000_000))) == size


@pytest.mark.parametrize("frame", [0xC0, 0xC1, 0xC2, 0xCF])
def test_size_of_each_jpeg_frame(frame: int) -> None:
    assert image_size_px(b64(jpeg(640, 480, frame=frame))) == (640, 480)


def test_size_behind_a_large_preview() -> None:
    assert image_size_px(b64(jpeg(640, 480, preview_bytes=60_000))) == (640, 480)


def test_base64_may_have_line_breaks() -> None:
    lines = base64.encodebytes(jpeg(640, 480, preview_bytes=600)).decode()
    assert image_size_px(lines) == (640, 480)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_header_cut_short_has_no_size(write: object) -> None:
    assert callable(write)
    whole = write(640, 480)
    sizes = {image_size_px(b64(whole[:cut])) for cut in range(len(whole))}
    assert sizes <= {None, (640, 480)}
    assert image_size_px(b64(whole[:9])) is None


@pytest.mark.parametrize(
    "data", ["", "a", "not base64!", "ünicode", b64(b"plain text"), b64(png(0, 5))]
)
def test_no_size(data: str) -> None:
    assert image_size_px(data) is None


@given(st.binary(), st.sampled_from([b"", b"\xff\xd8", b"GIF89a", b"RIFF....WEBPVP8L", b"\x89PNG"]))
def test_no_bytes_break_the_reader(raw: bytes, start: bytes) -> None:
    size = image_size_px(b64(start + raw))
    assert size is None or min(size) > 0


# Blocks


def test_image_block_of_a_known_size_is_no_estimate() -> None:
    found = block_tokens(image(png(1_000, 1_000)), NEW)
    assert (found.tokens, found.is_estimate, found.assumption) == (1_296, False, "")


def test_scaling_is_an_assumption() -> None:
    found = block_tokens(image(jpeg(2_000, 2_000)), OLD)
    assert (found.tokens, found.is_estimate) == (1_521, True)
    assert "scales" in found.assumption


@pytest.mark.parametrize(
    ("url", "tokens"),
    [
        ("data:image/png;base64," + b64(png(512, 512)), 255),
        ("https://example.org/cat.png", 1_445),
        ("data:image/png,plain", 1_445),
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_openai_blocks(url: str, tokens: int, wrapped: bool) -> None:
    block = {"type": "image_url", "image_url": {"url": url} if wrapped else url}
    found = block_tokens(block, GPT)
    assert (found.tokens, found.is_estimate) == (tokens, True)


@pytest.mark.parametrize(
    "block",
    [
        None,
        "image",
        {},
        {"type": "image"},
        {"type": "image", "source": None},
        {"type": "image", "source": {"type": "base64"}},
        {"type": "image", "source": {"type": "base64", "data": 5}},
        {"type": "image", "source": {"type": "base64", "data": b"bytes"}},
        {"type": "image", "source": {"type": "base64", "data": "!!!"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {"type": "image_url"},
        {"type": "image_url", "image_url": {"url": None}},
        {"type": "audio"},
    ],
)
def test_what_is_no_readable_image_counts_as_the_largest(block: object) -> None:
    for model, cap in ((OLD, 1_568), (NEW, 4_784)):
        found = block_tokens(block, model)
        assert (found.tokens, found.is_estimate) == (cap, True)
        assert "largest image" in found.assumption


# Documents

OLD_PAGE, NEW_PAGE = 2_250 + 1_568, 2_813 + 1_568  # 1,875 × 1.2 and × 1.5, and a picture


@pytest.mark.parametrize(("model", "page_tokens"), [(OLD, OLD_PAGE), (NEW, NEW_PAGE)])
@pytest.mark.parametrize("pages", [1, 7])
def test_pdf_counts_by_its_pages(model: str, page_tokens: int, pages: int) -> None:
    block = document({"type": "base64", "media_type": "application/pdf", "data": b64(pdf(pages))})
    found = block_tokens(block, model)
    assert (found.tokens, found.is_estimate) == (pages * page_tokens, True)
    assert f"{pages} pages of {page_tokens:,} tokens" in found.assumption


@pytest.mark.parametrize(
    ("size_bytes", "pages"), [(100, 1), (50_001, 2), (1_000_000, 20), (9_000_000, 100)]
)
def test_pdf_without_visible_pages_counts_by_its_size(size_bytes: int, pages: int) -> None:
    raw = b"%PDF-1.7".ljust(size_bytes, b"x")
    found = block_tokens(document({"type": "base64", "data": b64(raw)}), OLD)
    assert found.tokens == pages * OLD_PAGE
    assert "compressed" in found.assumption


@pytest.mark.parametrize("source", [{"type": "url", "url": "u"}, {"type": "file", "file_id": "f"}])
def test_a_document_elsewhere_is_ten_pages(source: object) -> None:
    found = block_tokens(document(source), OLD)
    assert found.tokens == 10 * OLD_PAGE
    assert "10 pages" in found.assumption


@pytest.mark.parametrize(
    "source",
    [
        None,
        "pdf",
        {},
        {"type": "base64"},
        {"type": "base64", "data": None},
        {"type": "base64", "data": "!!"},
        {"type": "base64", "data": b64(b"no pdf")},
        {"type": "text", "data": 5},
        {"type": "else", "data": "x"},
    ],
)
def test_what_is_no_readable_document_is_a_hundred_pages(source: object) -> None:
    assert document_tokens(document(source), OLD).tokens == 100 * OLD_PAGE


def test_text_document_counts_as_text() -> None:
    block = document({"type": "text", "media_type": "text/plain", "data": "some plain words"})
    found = block_tokens(block, NEW, count=lambda text: len(text.split()))
    assert (found.tokens, found.assumption) == (5, "counted as text")  # 3 × 1.5 = 4.5
    assert block_tokens(block, "gpt-5").tokens == 4  # 14 × 0.24 + 2 × 0.06 = 3.48


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("one two", 3),  # 2 × 1.5
        ([{"type": "text", "text": "one two"}], 3),
        ([{"type": "text", "text": "one two"}, image(png(200, 200))], 67),
        ([], 0),
        ([None], 4_784),
        (None, 4_784),
        ([document({"type": "content", "content": []})], 4_784),  # documents do not nest
    ],
)
def test_document_of_blocks_is_their_sum(content: object, tokens: int) -> None:
    block = document({"type": "content", "content": content})
    assert block_tokens(block, NEW, count=lambda text: len(text.split())).tokens == tokens


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "source", "data", "image_url", "url", "content", "text"]),
            inner
            | st.sampled_from(["image", "document", "base64", "text", "content", "image_url"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from([OLD, NEW, GPT]))
def test_no_block_breaks_it(block: object, model: str) -> None:
    found = block_tokens(block, model)
    assert found.tokens >= 0
    assert found.is_estimate
