"""What the tests of the file methods share: looking at the guest's files through its own shell."""

import contextlib

from client import LONG, RpcError
from support import unique

# What every Entry holds, with its type; names are bytes where they are not UTF-8.
ENTRY = {"path": (str, bytes), "name": (str, bytes), "type": str, "size": int, "mode": int, "uid": int, "gid": int,
         "mtime_us": int, "ctime_us": int, "ino": int, "nlink": int}
TYPES = {"file", "dir", "symlink", "fifo", "socket", "char", "block"}

# The bounds of a block and of a window are where bytes get lost.
SIZES = [0, 1, 2, 4095, 65535, 65536, 65537, 131072, 262144, 262145, 1_048_576, 5_000_000]


def sh(client, script, *args, **spawn):
    """Run it as root in the guest, as sh -e with the arguments from $1; what it printed."""
    result = client.call("proc.run", {"argv": ["sh", "-ec", script, "sh", *args], "max_output": 16 << 20, **spawn}, 120)
    assert result["code"] == 0, (script, result)
    return result["stdout"]


def cat(client, path):
    return sh(client, 'cat "$1"', path)


def stat(client, path, what="%s %a %u:%g"):
    """Of the file itself, where it is a link."""
    return sh(client, 'stat -c "$2" "$1"', path, what).decode().strip()


def names(client, path):
    """All that is in a directory, hidden or not."""
    return sorted(sh(client, 'ls -A "$1"', path).decode().splitlines())


def assert_entry(entry, path, type, **fields):
    """An Entry as the protocol has it, that tells of this; returned as it is."""
    for name, kind in ENTRY.items():
        assert isinstance(entry.get(name), kind) and not isinstance(entry[name], bool), (name, entry)
    assert (entry["path"], entry["type"]) == (path, type), entry
    sep = "/" if isinstance(path, str) else b"/"
    if path != sep:
        last = path.rpartition(sep)[2]
        assert entry["name"] in (last, last.decode(errors="replace") if isinstance(last, bytes) else last), entry
    assert entry["mode"] & ~0o7777 == 0, entry
    assert ("target" in entry) == (type == "symlink"), entry
    for name, value in fields.items():
        assert entry.get(name) == value, (name, value, entry)
    return entry


def read(client, path, timeout=LONG, **params):
    """fs.read; what came and the result."""
    call = client.open("fs.read", {"path": path, **params})
    result = call.wait(timeout)
    assert result["size"] == len(call.stdout) and not call.stderr
    return bytes(call.stdout), result


def write(client, path, data, timeout=LONG, **params):
    """fs.write of all of it; the result."""
    call = client.open("fs.write", {"path": path, **params})
    call.write(data, timeout)
    if not call.done:
        call.end()
    return call.wait(timeout)


def streamed(client, method, timeout=LONG, **params):
    """The entries of fs.list or fs.tree with `stream`, put together again."""
    call = client.open(method, {**params, "stream": True})
    call.wait(timeout)
    assert {e["type"] for e in call.events} <= {"entries"}, call.events
    return [entry for event in call.events for entry in event["entries"]]


def matches(client, method, timeout=LONG, **params):
    """The matches of fs.find or fs.grep, and the result."""
    call = client.open(method, params)
    result = call.wait(timeout)
    found = [e for e in call.events if e["type"] == "match"]
    assert result["matches"] == len(found) and isinstance(result["truncated"], bool)
    return found, result


@contextlib.contextmanager
def mounted(client, path, options="size=1m"):
    """A small tmpfs on a directory that is made for it."""
    sh(client, 'mkdir -p "$1"; mount -t tmpfs -o "$2" rpc-test "$1"', path, options)
    try:
        yield path
    finally:
        sh(client, 'umount -l "$1"', path)


@contextlib.contextmanager
def background(agent, cmd, **spawn):
    """A shell script that runs in the guest meanwhile; its ProcessInfo."""
    with agent.connect() as c:
        info = c.call("proc.start", {"cmd": cmd, "id": unique("fs"), **spawn})
        try:
            yield info
        finally:
            with contextlib.suppress(RpcError):
                c.call("proc.stop", {"id": info["id"], "signal": "KILL"})


def code_of(error):
    """Of an error inside a result."""
    assert error["message"], error
    return error["code"]
