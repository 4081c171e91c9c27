"""Draw scripts/exe/pipectl.ico: a pipe with a flange at each end, and a prompt in it.

The icon is committed; this script creates it again, byte for byte.
"""

import struct
import zlib
from pathlib import Path

ICON = Path(__file__).resolve().parent / "exe" / "pipectl.ico"
SIZES = (16, 24, 32, 48, 256)
SAMPLES = 4  # on each axis of a pixel, for smooth edges

Color = tuple[int, int, int, int]
CLEAR: Color = (0, 0, 0, 0)
PIPE: Color = (31, 111, 184, 255)
SHINE: Color = (86, 160, 223, 255)
FLANGE: Color = (16, 66, 117, 255)
PROMPT: Color = (255, 255, 255, 255)


def color_at(x: float, y: float) -> Color:
    """Return the color at a point of the drawing, a square from 0 to 1."""
    if 0.16 < y < 0.84 and (0.02 < x < 0.2 or 0.8 < x < 0.98):
        return FLANGE
    if not (0.2 <= x <= 0.8 and 0.27 < y < 0.73):
        return CLEAR
    bracket = abs(x - (0.45 - abs(y - 0.54) * 1.1)) < 0.06 and abs(y - 0.54) < 0.13
    cursor = 0.54 < x < 0.72 and 0.61 < y < 0.67
    if bracket or cursor:
        return PROMPT
    return SHINE if y < 0.35 else PIPE


def pixel(size: int, column: int, row: int) -> bytes:
    """Return one pixel: the mean of its samples; transparent ones do not affect the color."""
    steps = [(index + 0.5) / SAMPLES for index in range(SAMPLES)]
    samples = [color_at((column + x) / size, (row + y) / size) for y in steps for x in steps]
    opaque = [sample for sample in samples if sample is not CLEAR]
    if not opaque:
        return bytes(4)
    red, green, blue = (sum(sample[channel] for sample in opaque) // len(opaque) for channel in range(3))
    return bytes((red, green, blue, 255 * len(opaque) // len(samples)))


def png(size: int) -> bytes:
    """Return the drawing as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"".join(pixel(size, column, row) for column in range(size)) for row in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)  # 8 bits for each of red, green, blue, alpha
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def ico() -> bytes:
    """Return all sizes as one icon file."""
    images = [png(size) for size in SIZES]
    entries = b""
    offset = 6 + 16 * len(images)
    for size, image in zip(SIZES, images, strict=True):
        entries += struct.pack("<BBBBHHII", size % 256, size % 256, 0, 0, 1, 32, len(image), offset)
        offset += len(image)
    return struct.pack("<HHH", 0, 1, len(images)) + entries + b"".join(images)


if __name__ == "__main__":
    ICON.write_bytes(ico())
