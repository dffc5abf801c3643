"""Know the format of a file by its first bytes, and the files of a folder that hold no signal by their names."""

import re
import struct
from pathlib import Path

START = 4096  # bytes at the beginning of a file that show its format

# the first bytes of each format, with the usual suffix of its files
SIGNATURES = {
    b"\x93NUMPY": ".npy",
    b"PAR1": ".parquet",
    b"fLaC": ".flac",
    b"riff\x2e\x91\xcf\x11": ".w64",
    b"TDSm": ".tdms",
    b"MDF     ": ".mf4",
    b"UnFinMF ": ".mf4",
    b"\x89HDF\r\n\x1a\n": ".h5",
    b"\x1f\x8b": ".gz",
}
# a universal file begins with the line "    -1"; the number of its first data set is in the next one
UNIVERSAL = re.compile(rb" {4}-1 *\r?\n {1,5}\d{1,5}[b ]* ")
OCTAVE = re.compile(rb"(# Created by Octave[^\n]*\n)?# name: [^\n]+\n# type: ")  # variables as text
# the first bytes of kinds that are not read, and what to do with such a file
OTHERS = (
    ((b"\xd0\xcf\x11\xe0",), "a document of an office program, perhaps of Excel: save its sheet as .csv"),
    ((b"PK\x03\x04", b"PK\x05\x06"), "an archive or a workbook of Excel: unpack it, or save its sheet as .csv"),
    ((b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"), "an archive: unpack it"),
    (
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "a pickle of Python, which could run any program: save arrays by numpy.save",
    ),
    (
        (b"FORM", b"caff", b".snd", b"OggS", b"ID3", b"\xff\xfb"),
        "audio of a kind that is not read: convert it, for example by ffmpeg -i old new.wav",
    ),
)
OTHER_TEXTS = (
    ((b"version https://git-lfs.github.com",), "a pointer of Git LFS and not the file itself: run git lfs pull"),
    ((b"<!doctype html", b"<html"), "a web page, perhaps the error of a download: get the file again"),
)
# files that lie beside recordings and hold no samples
BESIDE = frozenset(
    [
        *(".tdms_index", ".ini", ".lnk", ".url", ".md5", ".sha1", ".sha256"),
        *(".pdf", ".doc", ".docx", ".odt", ".rtf", ".ppt", ".pptx", ".md", ".rst", ".html", ".htm"),
        *(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".svg"),
        *(".json", ".xml", ".yaml", ".yml", ".toml", ".py", ".m", ".ipynb"),
    ]
)
# of the system, of a program that has a document open, and the usual texts about a collection
BESIDE_NAMES = re.compile(
    r"(eh)?thumbs\.db|desktop\.ini|~\$.*|(readme|licen[sc]e|copying|changelog|citation)(\.\w+)?", re.IGNORECASE
)


def way_out(start: bytes) -> str:
    """Return what to do with a file of a known kind that is not read, from its first bytes; an empty text for other files.

    Text may begin with any letters, so only a few kinds are told from it.
    """
    if _is_text(start):
        return next((advice for marks, advice in OTHER_TEXTS if start.lstrip().lower().startswith(marks)), "")
    return next((advice for marks, advice in OTHERS if start.startswith(marks)), "")


def suffix_by_content(start: bytes) -> str:
    """Return the usual suffix of the format that the first ``START`` bytes of a file show, such as ``".wav"``.

    Text that begins as no other format is ``".txt"``. An unknown format is an empty text.
    """
    for signature, suffix in SIGNATURES.items():
        if start.startswith(signature):
            return suffix
    if start[:4] in (b"RIFF", b"RIFX", b"RF64") and start[8:12] == b"WAVE":
        return ".wav"
    if start[124:128] in (b"\x00\x01IM", b"\x01\x00MI") or start[512:520] == b"\x89HDF\r\n\x1a\n":
        return ".mat"
    if start.startswith(b"PK\x03\x04"):  # an archive, which documents of office programs are too
        name = start[30 : 30 + int.from_bytes(start[26:28], "little")]
        return ".npz" if name.endswith(b".npy") else ""
    if UNIVERSAL.match(start):
        return ".uff"
    if OCTAVE.match(start) or _is_version_4(start):
        return ".mat"
    return ".txt" if _is_text(start) else ""


def _is_version_4(start: bytes) -> bool:
    """Return whether a file begins with a matrix of MATLAB 4, whose header is five numbers and the name of a variable."""
    if len(start) < 22:
        return False
    for order in "<>":
        kind, rows, columns, complex_too, length = struct.unpack_from(f"{order}5i", start)
        # the digits of the kind are the order of bytes, 0, the type of numbers and that of the matrix
        usual = kind // 1000 in (0, 1) and kind // 100 % 10 == 0 and kind // 10 % 10 <= 5 and kind % 10 <= 2
        if usual and rows >= 0 <= columns and complex_too in (0, 1) and 1 < length <= 64:
            name = start[20 : 20 + length]
            if name.endswith(b"\0") and name[:-1].decode("latin-1").isidentifier():
                return True
    return False


def holds_no_signal(file: Path) -> bool:
    """Return whether the name of a file says that it lies beside recordings and is none: ``Thumbs.db``, ``report.pdf``."""
    return file.suffix.lower() in BESIDE or BESIDE_NAMES.fullmatch(file.name) is not None


def _is_text(start: bytes) -> bool:
    """Return whether bytes are text in UTF-8, UTF-16 with its mark, or a code page of one byte for each character."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return bool(start) and not re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]", start)
