"""Archives for the tests of tar.*: made entry by entry, also such as no program would make."""

import builtins
import gzip
import io
import os
import subprocess
import tarfile

from client import LONG
from files import sh

MTIME = 1_000_000_000

KINDS = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE,
         "fifo": tarfile.FIFOTYPE, "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE}

END = bytes(1024)


def member(name, kind="file", data=b"", mode=None, target="", **fields):
    """A TarInfo and its data, for archive()."""
    info = tarfile.TarInfo(name)
    info.type = KINDS[kind]
    info.size = len(data)
    info.mode = mode if mode is not None else 0o755 if kind == "dir" else 0o644
    info.linkname = target
    info.mtime = MTIME
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def archive(*members, format=tarfile.PAX_FORMAT, **options):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8", errors="surrogateescape", **options) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def header(name=b"name", kind=b"0", size=0, target=b"", mode=0o644, magic=b"ustar\x0000", prefix=b"", mtime=MTIME,
           uid=0, gid=0, rest=b"", sum=None):
    """One block, of whatever it is given; numbers may be bytes."""
    def number(value, width):
        return value if isinstance(value, bytes) else b"%0*o\0" % (width - 1, value)

    block = (name.ljust(100, b"\0")[:100] + number(mode, 8) + number(uid, 8) + number(gid, 8) + number(size, 12)
             + number(mtime, 12) + b" " * 8 + kind + target.ljust(100, b"\0")[:100] + magic
             + (bytes(32) + bytes(32) + number(0, 8) + number(0, 8) + prefix).ljust(247, b"\0")[:247])
    if rest:
        at, what = rest
        block = block[:at] + what + block[at + len(what):]
    assert len(block) == 512
    total = b"%06o\0 " % builtins.sum(block)
    return block[:148] + (sum or total) + block[156:]


def padded(data):
    return data + bytes(-len(data) % 512)


def pax(*records, kind=b"x"):
    """An extended header of (key, value)s, or of bytes as they are."""
    body = b""
    for record in records:
        if isinstance(record, bytes):
            body += record
            continue
        key, value = (part.encode() if isinstance(part, str) else part for part in record)
        text = b" " + key + b"=" + value + b"\n"
        size = len(text) + 1
        while len(b"%d" % size) + len(text) != size:
            size += 1
        body += b"%d" % size + text
    return header(b"pax", kind, len(body)) + padded(body)


def long_name(name, kind=b"L"):
    return header(b"././@LongLink", kind, len(name) + 1, magic=b"ustar  \0") + padded(name + b"\0")


def gz(data, level=1):
    return gzip.compress(data, level, mtime=0)


def zst(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, stdout=subprocess.PIPE, check=True).stdout


def start_import(client, data, path, timeout=LONG, **params):
    """All of the archive sent, unless the agent had enough of it."""
    call = client.open("tar.import", {"path": path, **params})
    call.write(data, timeout)
    if not call.done:
        call.end()
    return call


def do_import(client, data, path, timeout=LONG, **params):
    """tar.import of all of it; the result."""
    return start_import(client, data, path, timeout, **params).wait(timeout)


def tree(client, path, what="%f %u:%g %s %Y"):
    """{name: type and mode, owner, size, time, of each file} below a directory of the guest, itself as `.`."""
    script = 'cd "$1"; find . -exec stat -c "%n|$2" {} +'
    found = dict(line.rsplit("|", 1) for line in sh(client, script, path, what).decode().splitlines())
    return {name[2:] if name != "." else name: value for name, value in found.items()}


def looks(kind, mode, size=0, owner="0:0", mtime=MTIME):
    """What tree() says of it."""
    types = {"file": 0o100000, "dir": 0o040000, "symlink": 0o120000, "fifo": 0o010000, "char": 0o020000,
             "block": 0o060000}
    return f"{types[kind] | mode:x} {owner} {size} {mtime}"


def gnu_tar(directory, *options):
    return subprocess.run(["tar", "-c", "-C", str(directory), "-f", "-", *options, "."], stdout=subprocess.PIPE,
                          check=True, env={**os.environ, "LC_ALL": "C"}).stdout
