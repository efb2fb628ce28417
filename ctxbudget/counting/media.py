"""Tokens of what is not text: images and documents, from their content blocks.

Blocks are read as Anthropic writes them (`image`, `document`) or as OpenAI does (`image_url`).
A block that makes no sense is given the most it could be, never an exception: whoever sends it
learns from the provider what is wrong with it.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ctxbudget.counting.calibration import Calibration
from ctxbudget.counting.content_class import ContentClass, classify
from ctxbudget.counting.counters import HeuristicCounter
from ctxbudget.providers.models import ModelFamily, family_of

_PATCH_PX: Final = 28
_TILE_PX: Final = 512
_TILE_BASE_TOKENS, _TILE_TOKENS = 85, 170
_MOST_TILES: Final = 8  # 2,048 × 768 pixels
_HEADER_BASE64_CHARS: Final = 512 * 1024  # a JPEG's size may stand behind a large preview
_MOST_PDF_BASE64_CHARS: Final = 48 * 1024 * 1024  # 32 MB, the largest request, and some more

PDF_PAGE_TEXT_TOKENS: Final = 1_875
"""o200k tokens of the text of one PDF page.

Source: Anthropic's PDF page gives 1,500 to 3,000 Claude tokens; this is the middle over 1.2.
"""

UNSEEN_DOCUMENT_PAGES: Final = 10
"""An assumption, not a fact: the pages of a document given by URL or file id."""

MOST_PDF_PAGES: Final = 100
"""Pages of a document that cannot be read. Source: Anthropic's limit for 200k windows."""

_BYTES_PER_PAGE: Final = 50_000  # an assumption, for a PDF whose page objects are compressed
_PDF_PAGE: Final = re.compile(rb"/Type\s*/Page(?![A-Za-z0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaEstimate:
    """What a block is taken to hold, in the model's own tokens."""

    tokens: int
    is_estimate: bool
    assumption: str
    """How the number came about, for a report; empty if it follows from a published formula."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resolution:
    """The largest image that a family of models looks at without scaling it down.

    Source: Anthropic's vision page.
    """

    edge_px: int
    tokens: int


_STANDARD: Final = _Resolution(edge_px=1_568, tokens=1_568)
_HIGH: Final = _Resolution(edge_px=2_576, tokens=4_784)


def image_tokens(width_px: int, height_px: int, model: str) -> int:
    """Return the tokens of an image of this size; a side of zero or less gives the cap.

    Source: for Claude one token for each patch of 28 × 28 pixels, after a larger image was
    scaled down to the model's limits (Anthropic's vision page). For OpenAI's models 85 tokens
    and 170 for each tile of 512 × 512 pixels, after scaling into 2,048 × 2,048 and the shorter
    side to 768 (OpenAI's page on images, for GPT-4o); later models differ. Any other model is
    taken to be like Claude 4.6.
    """
    if width_px <= 0 or height_px <= 0:
        return image_cap_tokens(model)
    if family_of(model) is ModelFamily.O200K:
        return _TILE_BASE_TOKENS + _TILE_TOKENS * _tiles(width_px, height_px)
    limit = _resolution(model)
    return _patches(*_scaled(width_px, height_px, limit))


def image_cap_tokens(model: str) -> int:
    """Return the most tokens that one image can take."""
    if family_of(model) is ModelFamily.O200K:
        return _TILE_BASE_TOKENS + _TILE_TOKENS * _MOST_TILES
    return _resolution(model).tokens


def block_tokens(
    block: object, model: str, *, count: Callable[[str], int] | None = None
) -> MediaEstimate:
    """Return the tokens of an image or document block.

    `count` gives the o200k tokens of a text document and is `HeuristicCounter` unless set.
    Anything else counts as an image that cannot be read.
    """
    if isinstance(block, Mapping) and block.get("type") == "document":
        return document_tokens(block, model, count=count)
    return _image_estimate(block, model)


def document_tokens(
    block: Mapping[str, Any], model: str, *, count: Callable[[str], int] | None = None
) -> MediaEstimate:
    """Return the tokens of a `document` block: a PDF, a text, or a list of blocks."""
    source = block.get("source")
    if not isinstance(source, Mapping):
        return _pages_estimate(MOST_PDF_PAGES, model, "the document has no source")
    data = source.get("data")
    match source.get("type"):
        case "text" if isinstance(data, str):
            return _text_estimate(data, model, count)
        case "content":
            return _content_estimate(source.get("content"), model, count)
        case "url" | "file":
            return _pages_estimate(
                UNSEEN_DOCUMENT_PAGES, model, "the document is not part of the request"
            )
        case "base64" if isinstance(data, str):
            return _pdf_estimate(data, model)
    return _pages_estimate(MOST_PDF_PAGES, model, "the document cannot be read")


def image_size_px(data: str) -> tuple[int, int] | None:
    """Return (width, height) of a PNG, JPEG, GIF or WebP in base64, or None if it has none.

    Only the beginning is decoded; what the block calls its media type is not asked.
    """
    raw = _decoded(data, _HEADER_BASE64_CHARS)
    if raw.startswith(b"\x89PNG\r\n\x1a\n") and raw[12:16] == b"IHDR":
        size = _big(raw, 16, 20), _big(raw, 20, 24)
    elif raw.startswith((b"GIF87a", b"GIF89a")):
        size = _little(raw, 6, 8), _little(raw, 8, 10)
    elif raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        size = _webp_size(raw)
    elif raw.startswith(b"\xff\xd8"):
        size = _jpeg_size(raw)
    else:
        return None
    return size if min(size) > 0 else None


def _resolution(model: str) -> _Resolution:
    return _HIGH if family_of(model) is ModelFamily.CLAUDE_FROM_4_7 else _STANDARD


def _patches(width_px: int, height_px: int) -> int:
    return math.ceil(width_px / _PATCH_PX) * math.ceil(height_px / _PATCH_PX)


def _scaled(width_px: int, height_px: int, limit: _Resolution) -> tuple[int, int]:
    """Return the largest size of the same shape within the limit, found by bisection."""
    longer, shorter = max(width_px, height_px), min(width_px, height_px)

    def at(edge_px: int) -> tuple[int, int]:
        return edge_px, max(1, round(shorter * edge_px / longer))

    low, high = 1, min(longer, limit.edge_px)
    while low < high:
        middle = (low + high + 1) // 2
        if _patches(*at(middle)) <= limit.tokens:
            low = middle
        else:
            high = middle - 1
    return at(low)


def _tiles(width_px: int, height_px: int) -> int:
    longer, shorter = max(width_px, height_px), min(width_px, height_px)
    scale = min(1.0, 2_048 / longer, 768 / shorter)
    return math.ceil(longer * scale / _TILE_PX) * math.ceil(shorter * scale / _TILE_PX)


def _image_estimate(block: object, model: str) -> MediaEstimate:
    data = _image_base64(block)
    if data is None:
        return _capped(model, "the image is not part of the request, or cannot be read")
    size = image_size_px(data)
    if size is None:
        return _capped(model, "the size of the image cannot be read")
    tokens = image_tokens(*size, model)
    assumption = ""
    match family_of(model):
        case ModelFamily.O200K:
            assumption = "an image counts as for GPT-4o at high detail"
        case ModelFamily.OTHER:
            assumption = "an image counts as for Claude 4.6"
        case _ if tokens != _patches(*size):
            assumption = "the provider scales the image down as we do"
    return MediaEstimate(tokens=tokens, is_estimate=bool(assumption), assumption=assumption)


def _capped(model: str, why: str) -> MediaEstimate:
    return MediaEstimate(
        tokens=image_cap_tokens(model),
        is_estimate=True,
        assumption=f"{why}; counted as the largest image",
    )


def _image_base64(block: object) -> str | None:
    """Return the base64 of an image block of either provider, or None if it holds none."""
    if not isinstance(block, Mapping):
        return None
    found: object = None
    match block.get("type"):
        case "image":
            source = block.get("source")
            found = source.get("data") if isinstance(source, Mapping) else None
        case "image_url" | "input_image":
            url = block.get("image_url")
            url = url.get("url") if isinstance(url, Mapping) else url
            if isinstance(url, str) and url.startswith("data:"):
                found = url.partition(";base64,")[2]
    return found if isinstance(found, str) and found else None


def _decoded(data: str, most_chars: int) -> bytes:
    """Return the beginning of base64 text as bytes; empty if it is not base64."""
    packed = "".join(data[:most_chars].split())
    try:
        return base64.b64decode(packed[: len(packed) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _big(raw: bytes, start: int, end: int) -> int:
    """Return a big-endian number, or 0 if the bytes end before it does."""
    return int.from_bytes(raw[start:end], "big") if end <= len(raw) else 0


def _little(raw: bytes, start: int, end: int) -> int:
    """Return a little-endian number, or 0 if the bytes end before it does."""
    return int.from_bytes(raw[start:end], "little") if end <= len(raw) else 0


def _webp_size(raw: bytes) -> tuple[int, int]:
    """Return (width, height) of a WebP's first chunk. Source: RFC 9649, sections 2.5 to 2.7."""
    match raw[12:16]:
        case b"VP8X" if len(raw) >= 30:
            return _little(raw, 24, 27) + 1, _little(raw, 27, 30) + 1
        case b"VP8L" if len(raw) >= 25:
            bits = _little(raw, 21, 25)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return _little(raw, 26, 28) & 0x3FFF, _little(raw, 28, 30) & 0x3FFF
    return 0, 0


def _jpeg_size(raw: bytes) -> tuple[int, int]:
    """Return (width, height) from the first frame header. Source: ITU-T T.81, annex B."""
    at = 2
    while at + 9 <= len(raw) and raw[at] == 0xFF:
        marker = raw[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _big(raw, at + 7, at + 9), _big(raw, at + 5, at + 7)
        else:
            at += 2 + max(2, _big(raw, at + 2, at + 4))
    return 0, 0


def _page_tokens(model: str) -> int:
    """Return what one PDF page takes: its text and its picture.

    Source: Anthropic's PDF page (each page is sent as text and as an image). That the picture
    has the standard resolution at most is an assumption.
    """
    text = Calibration.for_model(model).tokens(PDF_PAGE_TEXT_TOKENS, ContentClass.PROSE)
    return text + min(_STANDARD.tokens, image_cap_tokens(model))


def _pages_estimate(pages: int, model: str, why: str) -> MediaEstimate:
    each_tokens = _page_tokens(model)
    return MediaEstimate(
        tokens=pages * each_tokens,
        is_estimate=True,
        assumption=f"{why}; counted as {pages} pages of {each_tokens:,} tokens",
    )


def _pdf_estimate(data: str, model: str) -> MediaEstimate:
    raw = _decoded(data, _MOST_PDF_BASE64_CHARS)
    if not raw.startswith(b"%PDF"):
        return _pages_estimate(MOST_PDF_PAGES, model, "the document is no PDF")
    pages = sum(1 for _ in _PDF_PAGE.finditer(raw))
    if pages:
        return _pages_estimate(pages, model, "a PDF is counted by its pages")
    guessed = min(MOST_PDF_PAGES, math.ceil(len(raw) / _BYTES_PER_PAGE))
    return _pages_estimate(guessed, model, "the pages of the PDF are compressed")


def _text_estimate(text: str, model: str, count: Callable[[str], int] | None) -> MediaEstimate:
    tokens = Calibration.for_model(model).tokens(
        (count or HeuristicCounter())(text), classify(text)
    )
    return MediaEstimate(tokens=tokens, is_estimate=True, assumption="counted as text")


def _content_estimate(
    content: object, model: str, count: Callable[[str], int] | None
) -> MediaEstimate:
    """Return the sum over a document's own blocks, or over its text."""
    found = list(_parts(content, model, count))
    return MediaEstimate(
        tokens=sum(part.tokens for part in found),
        is_estimate=True,
        assumption="; ".join(dict.fromkeys(part.assumption for part in found if part.assumption)),
    )


def _parts(
    content: object, model: str, count: Callable[[str], int] | None
) -> Iterator[MediaEstimate]:
    if isinstance(content, str):
        yield _text_estimate(content, model, count)
        return
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield _text_estimate(part["text"], model, count)
        else:
            yield _image_estimate(part, model)  # a document holds no documents
