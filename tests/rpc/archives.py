"""What the tests of archives share: exporting, and looking at the bytes with readers that are not ours."""

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import zlib

from client import LONG

FORMATS = ["tar", "tar.gz", "tar.zst"]


def export(client, timeout=LONG, **params):
    """tar.export; the bytes and the result, whose sums are checked."""
    call = client.open("tar.export", params)
    result = call.wait(timeout)
    data = bytes(call.stdout)
    assert not call.stderr
    assert result["archive_bytes"] == len(data) and result["sha256"] == hashlib.sha256(data).hexdigest()
    assert isinstance(result["skipped"], list)
    return data, result


def unpacked(data, format):
    """The tar in it, by strict readers: one gzip member, nothing behind it."""
    if format == "tar":
        return data
    if format == "tar.zst":
        return subprocess.run(["zstd", "-dqc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    member = zlib.decompressobj(16 + zlib.MAX_WBITS)
    tar = member.decompress(data) + member.flush()
    assert member.eof and not member.unused_data, "one member, as DecompressionStream wants it"
    assert gzip.decompress(data) == tar
    return tar


def members(tar):
    """{name: TarInfo} as Python's tarfile reads it: names without slashes at their ends."""
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", errors="surrogateescape", encoding="utf-8") as t:
        found = t.getmembers()
    assert len({m.name for m in found}) == len(found), "no name twice"
    return {m.name: m for m in found}


def contents(tar):
    """{name: bytes} of the regular files, hard links among them."""
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", errors="surrogateescape", encoding="utf-8") as t:
        return {m.name: t.extractfile(m).read() for m in t.getmembers() if m.isfile() or m.islnk()}


def extract(tar, directory, *options):
    """With GNU tar, as root or not; the directory."""
    os.makedirs(directory, exist_ok=True)
    done = subprocess.run(["tar", "-x", "-p", "-f", "-", "-C", str(directory), *options], input=tar,
                          stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"}, check=False)
    assert done.returncode == 0, done.stderr
    return str(directory)


def skipped(result):
    """{path: code} of what a result tells as skipped."""
    for s in result["skipped"]:
        assert s["error"]["message"], s
    return {s["path"]: s["error"]["code"] for s in result["skipped"]}
