"""Image files of every format and mode that is read, broken in every way that their headers offer."""

import dataclasses
import io
import os
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from mutations import EDGES, mutate
from PIL import Image, features

import deit_ref
from deit_ref.photos import exif_orientation, load_image

_SIZES = (0, 1, 2, 255, 256, 5000, 9459, 9460, 13377, 30000, 65535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def seeds() -> list[tuple[str, bytes]]:
    """Suffixes and contents of whole files, always the same."""
    generator = np.random.default_rng(0)
    smooth = np.linspace(0, 255, 24)[:, None, None] * np.linspace(0.2, 1, 19)[:, None] * np.ones(4)
    pixels = (smooth + generator.uniform(-9, 9, smooth.shape)).clip(0, 255).astype(np.uint8)  # (24, 19, 4)
    rgba = Image.fromarray(pixels)
    rgb = rgba.convert("RGB")
    deep = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    real = Image.fromarray(pixels[:, :, 0].astype(np.float32))
    exif = Image.Exif()
    exif[274], exif[306] = 6, "2020:01:01 00:00:00"
    found: list[tuple[str, bytes]] = []

    def add(suffix: str, image: Image.Image, **options: Any) -> None:
        stream = io.BytesIO()
        image.save(stream, format=Image.registered_extensions()[suffix], **options)
        found.append((suffix, stream.getvalue()))

    Image.init()
    several = [rgb.rotate(90 * i) for i in range(1, 3)]
    for mode in ("L", "RGB", "CMYK"):
        add(".jpg", rgb.convert(mode))
    add(".jpg", rgb, progressive=True, exif=exif, icc_profile=b"\0" * 200, comment=b"x")
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA"):
        add(".png", rgba.convert(mode))
    add(".png", rgb.convert("P"), transparency=3)
    add(".png", rgb, transparency=(1, 2, 3), exif=exif, icc_profile=b"\0" * 200)
    add(".png", rgb, save_all=True, append_images=several)
    add(".png", deep)
    if features.check("webp"):
        add(".webp", rgb, exif=exif)
        add(".webp", rgba, lossless=True)
        add(".webp", rgb, save_all=True, append_images=several)
    add(".gif", rgb.convert("P"))
    add(".gif", rgb.convert("P"), transparency=3, save_all=True, append_images=several)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        add(".bmp", rgba.convert(mode))
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"):
        add(".tif", (rgb if mode in ("YCbCr", "LAB") else rgba).convert(mode))
    add(".tif", deep)
    add(".tif", real)
    if features.check("libtiff"):
        for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
            add(".tif", rgb, compression=compression)
        for compression in ("group3", "group4"):
            add(".tif", rgb.convert("1"), compression=compression)
    add(".tif", rgb, exif=exif, save_all=True, append_images=several)
    for mode in ("1", "L", "RGB"):
        add(".ppm", rgb.convert(mode))
    add(".ppm", deep)
    add(".pfm", real)
    found.append((".ppm", b"P3 # text\n3 2 255\n" + b"255 0 7  " * 6))
    found.append((".pgm", b"P2\n3 2\n65535\n" + b"65535 0 7 " * 2))
    found.append((".pbm", b"P1\n3 2\n1 0 1 0 1 1"))
    for mode in ("L", "LA", "P", "RGB", "RGBA"):
        add(".tga", rgba.convert(mode))
    add(".tga", rgb, compression="tga_rle")
    add(".ico", rgba, sizes=[(16, 16), (8, 8)])
    add(".ico", rgba, sizes=[(16, 16)], bitmap_format="bmp")
    if features.check("avif"):
        add(".avif", rgb, exif=exif)
        add(".avif", rgba)
    if features.check("jpg_2000"):
        add(".jp2", rgb)
        add(".jp2", rgba, irreversible=True)
    return found


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG file of these chunks, with right lengths and check sums."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in chunks:
        parts.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(parts)


def lie_png(draw: random.Random, data: bytes) -> bytes:
    chunks = _png_chunks(data)
    i = draw.randrange(len(chunks))
    kind, content = chunks[i]
    lie = draw.randrange(7)
    if lie == 0:  # sizes
        header = chunks[0][1]
        width, height = (draw.choice(_SIZES) for _ in range(2))
        chunks[0] = (b"IHDR", struct.pack(">II", width, height) + header[8:])
    elif lie == 1:  # bit depth, color type, compression, filter, interlace
        header = bytearray(chunks[0][1])
        header[draw.randrange(8, 13)] = draw.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        chunks[0] = (b"IHDR", bytes(header))
    elif lie == 2:
        chunks[i] = (kind, mutate(draw, content))
    elif lie == 3:
        del chunks[i]
    elif lie == 4:
        draw.shuffle(chunks)
    elif lie == 5:  # text and profiles that grow when they are read
        grown = zlib.compress(bytes(draw.choice((100, 2**20, 2**26))), 9)
        kind = draw.choice((b"zTXt", b"iCCP", b"iTXt", b"eXIf", b"tRNS", b"PLTE", b"acTL", b"fcTL", b"gAMA", b"pHYs"))
        content = b"a\0\1\0\0\0" + grown if kind == b"iTXt" else b"a\0\0" + grown
        chunks.insert(draw.randrange(len(chunks) + 1), (kind, draw.choice((content, content[:9], b""))))
    else:  # pixels of another number
        pixels = b"".join(content for kind, content in chunks if kind == b"IDAT")
        try:
            pixels = zlib.decompress(pixels)
        except zlib.error:
            pixels = b""
        pixels = zlib.compress(mutate(draw, pixels))
        chunks = [chunk for chunk in chunks if chunk[0] not in (b"IDAT", b"IEND")]
        chunks += [(b"IDAT", pixels[:20]), (b"IDAT", pixels[20:]), (b"IEND", b"")]
    return png(chunks)


def lie_jpeg(draw: random.Random, data: bytes) -> bytes:
    """Changes a segment; those before the first scan carry their lengths."""
    segments, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, place + 2)
        segments.append([data[place + 1], data[place + 4 : place + 2 + length]])
        place += 2 + length
    rest = data[place:]
    lie = draw.randrange(5)
    frames = [segment for segment in segments if segment[0] in (0xC0, 0xC1, 0xC2)]
    chosen = draw.choice(segments)
    if lie == 0 and frames:
        sizes = struct.pack(">HH", *(draw.choice(_SIZES) & 0xFFFF for _ in range(2)))
        frames[0][1] = frames[0][1][:1] + sizes + frames[0][1][5:]
    elif lie == 1 and frames:
        frames[0][1] = mutate(draw, frames[0][1])
    elif lie == 2:
        segments.remove(chosen)
    elif lie == 3:
        extra = draw.choice((b"Exif\0\0", b"ICC_PROFILE\0\1\1", b"Adobe\0", b"JFIF\0", b"MPF\0", b"Photoshop 3.0\0"))
        extra += draw.choice((b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"")) + draw.randbytes(draw.choice((0, 6, 60)))
        segments.insert(draw.randrange(len(segments) + 1), [draw.randrange(0xE0, 0xF0), extra])
    else:
        chosen[1] = mutate(draw, chosen[1])
    written = b"".join(
        bytes((0xFF, kind)) + struct.pack(">H", (len(content) + 2) & 0xFFFF) + content for kind, content in segments
    )
    return data[:2] + written + rest


def lie_tiff(draw: random.Random, data: bytes) -> bytes:
    """Changes entries of the first directory: tag, type, count or value."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    broken = bytearray(data)
    for _ in range(draw.choice((1, 1, 2))):
        entry = start + 2 + 12 * draw.randrange(count)
        part = draw.randrange(4)
        if part == 0:
            tags = (254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339)
            struct.pack_into(order + "H", broken, entry, draw.choice((*tags, 330, 347, 530, 34665, 34675, 34853)))
        elif part == 1:
            struct.pack_into(order + "H", broken, entry + 2, draw.choice((0, 1, 2, 3, 4, 5, 7, 9, 12, 13, 16, 99)))
        elif part == 2:
            struct.pack_into(order + "I", broken, entry + 4, draw.choice((*EDGES[4], 2, 3, 4)))
        else:
            value = draw.choice((*EDGES[4], *_SIZES, start, 2, 3, 5, 6, 7, 8, 16, 32, 32773, 34712, 50000))
            if draw.random() < 0.5:
                struct.pack_into(order + "I", broken, entry + 8, value)
            else:
                struct.pack_into(order + "HH", broken, entry + 8, value & 0xFFFF, 0)
    return bytes(broken)


# Where plain headers say width and height: offset, format.
_SIZE_FIELDS = {
    ".gif": ((6, "<HH"),),
    ".bmp": ((18, "<ii"), (10, "<I"), (14, "<I"), (26, "<HH"), (30, "<I"), (46, "<I")),
    ".tga": ((12, "<HH"), (0, "<BB"), (2, "<B"), (3, "<HH"), (16, "<BB")),
    ".ico": ((4, "<H"), (6, "<BB"), (14, "<I"), (18, "<I")),
}


def lie_plain(draw: random.Random, suffix: str, data: bytes) -> bytes:
    offset, form = draw.choice(_SIZE_FIELDS[suffix])
    broken = bytearray(data)
    for i, letter in enumerate(form[1:]):
        value = draw.choice(_SIZES) % 2 ** (8 * struct.calcsize(letter))
        signed = value - 2**32 if letter == "i" and value >= 2**31 else value
        struct.pack_into("<" + letter, broken, offset + i * struct.calcsize(letter), signed)
    return bytes(broken)


def lie_text(draw: random.Random, data: bytes) -> bytes:
    """Another word in the first lines of a PPM file."""
    words = data[:40].split(None, 4)
    words[draw.randrange(len(words))] = draw.choice(
        (b"0", b"-1", b"1", b"9459", b"99999999", b"1e9", b"inf", b"nan", b"9" * 5000, b"P7", b"#", b"\xff", b"65536")
    )
    return b"\n".join(words) + b"\n" + data[40:]


def large(draw: random.Random) -> tuple[str, bytes]:
    """A small file of many pixels, up to the limit and beyond."""
    side = draw.choice((4000, 9459, 9460, 13378, 30000))
    depth, color, channels = draw.choice(((1, 0, 1), (8, 0, 1), (8, 3, 1), (8, 2, 3), (8, 6, 4), (8, 4, 2)))
    row = bytes(1 + (side * depth * channels + 7) // 8)
    compressor = zlib.compressobj(1)
    rows = side if side < 9460 else 40  # beyond the limit nothing of this may be read
    pixels = b"".join(compressor.compress(row) for _ in range(rows)) + compressor.flush()
    header = struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, 0)
    palette = [(b"PLTE", bytes(range(48)))] if color == 3 else []
    return ".png", png([(b"IHDR", header), *palette, (b"IDAT", pixels), (b"IEND", b"")])


def broken(draw: random.Random, files: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Suffix and content of one broken file."""
    if draw.random() < 0.002:
        return large(draw)
    suffix, data = draw.choice(files)
    way = draw.random()
    if way < 0.45:
        if suffix == ".png":
            data = lie_png(draw, data)
        elif suffix == ".jpg":
            data = lie_jpeg(draw, data)
        elif suffix == ".tif":
            data = lie_tiff(draw, data)
        elif suffix in (".ppm", ".pgm", ".pbm", ".pfm"):
            data = lie_text(draw, data)
        elif suffix in _SIZE_FIELDS:
            data = lie_plain(draw, suffix, data)
        else:
            data = mutate(draw, data)
    elif way < 0.5:  # the end of another file
        other = draw.choice(files)[1]
        data = data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :]
    elif way < 0.51:
        data = draw.choice(
            (b"", b"\0", draw.randbytes(300), b"<svg/>", b"%!PS-Adobe-3.0\n(x) print", b"RIFF", data * 3)
        )
    else:
        data = mutate(draw, data)
    if suffix == ".png" and way < 0.7 and draw.random() < 0.3:
        data = png(_png_chunks(data))
    return suffix, data


def special(draw: random.Random, path: Path) -> Path:
    """What is not a file at all, under this path."""
    kind = draw.randrange(5)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to("/dev/zero")
    elif kind == 2:
        path.symlink_to(path)
    elif kind == 3:
        path.mkdir()
    return path.with_name("a\0b\nc.png") if kind == 4 else path


def processing_for(draw: random.Random) -> deit_ref.ImageProcessing:
    """Mostly small, so that many cases fit into a minute."""
    small = draw.random() < 0.97
    options: dict[str, Any] = {"size": 24, "crop_size": 16} if small else {}
    options["resample"] = draw.choice(("bicubic", "bilinear", "nearest", "lanczos"))
    names = {field.name for field in dataclasses.fields(deit_ref.ImageProcessing)}
    if "arithmetic" in names:
        options["arithmetic"] = draw.choice(("pillow", "torchvision"))
    if draw.random() < 0.2:
        options |= {"size": {"shortest_edge": 20}, "crop_rounding": "round"}
    return deit_ref.ImageProcessing(**options, input_data_format="channels_last")


def write(draw: random.Random, folder: Path, files: list[tuple[str, bytes]]) -> Path:
    """One broken file in the folder."""
    if draw.random() < 0.003:
        return special(draw, folder / "special.png")
    suffix, data = broken(draw, files)
    path = folder / f"image{suffix if draw.random() < 0.9 else draw.choice(files)[0]}"
    path.write_bytes(data)
    return path


def run(draw: random.Random, path: Path) -> str:
    """Reads and prepares it; a word on what came."""
    options = {"do_convert_rgb": draw.random() < 0.8, "apply_exif": draw.random() < 0.5}
    image = load_image(path, **options)
    assert image.ndim == 3, image.shape
    assert 0 not in image.shape, image.shape
    assert 1 <= exif_orientation(path) <= 8
    pixels = deit_ref.preprocess(image, processing_for(draw))
    assert pixels.dtype == np.float32, pixels.dtype
    assert np.isfinite(pixels).all()
    return f"{image.shape[2]} channels"
