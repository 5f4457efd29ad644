"""What every file method has in common: its parameters, and what it refuses."""

import pytest

from support import error_of

# As the protocol lists them; a `!` marks what has to be given. What else a method takes is its own affair.
METHODS = {
    "fs.stat": "path! follow", "fs.exists": "path!", "fs.list": "path! hidden limit stream",
    "fs.tree": "path! depth ignore limit stream", "fs.read": "path! offset length hash",
    "fs.get": "path! offset length",
    "fs.write": "path! mode owner append offset create exclusive parents atomic sync size sha256 mtime_us",
    "fs.put": "path! data! mode owner append offset create exclusive parents atomic sync size sha256 mtime_us",
    "fs.write_files": "files! atomic", "fs.mkdir": "path! parents mode owner exist_ok",
    "fs.delete": "path! recursive missing_ok", "fs.move": "from! to! overwrite parents",
    "fs.copy": "from! to! recursive overwrite parents", "fs.symlink": "target! path! owner", "fs.link": "from! to!",
    "fs.readlink": "path!", "fs.chmod": "path! mode! recursive", "fs.chown": "path! owner! recursive",
    "fs.utimes": "path! mtime_us atime_us", "fs.truncate": "path! size!", "fs.hash": "path!", "fs.usage": "path!",
    "fs.find": "path! name type max_depth ignore limit", "fs.grep": "path! pattern! ignore_case ignore limit",
    "fs.watch": "path! recursive ignore events coalesce_ms entry",
}
STREAMS = {"fs.list", "fs.tree", "fs.read", "fs.write", "fs.find", "fs.grep", "fs.watch"}

# What makes each of them a good call but for the path, which leads nowhere.
REST = {
    "fs.put": {"data": b""}, "fs.write_files": {}, "fs.symlink": {"target": "t"}, "fs.chmod": {"mode": 0o644},
    "fs.chown": {"owner": "0:0"}, "fs.truncate": {"size": 0}, "fs.grep": {"pattern": "x"},
    "fs.write": {"create": False},
}
NOWHERE = "/no/such/directory/at all"


def good(method, path=NOWHERE):
    """Parameters that are right, all paths being this one."""
    if method == "fs.write_files":
        return {"files": [{"path": path, "data": b""}]}
    wanted = {name.rstrip("!") for name in METHODS[method].split()}
    return {name: path for name in ("path", "from", "to") if name in wanted} | REST.get(method, {})


def refused(client, method, params):
    error = error_of(client.call, method, params)
    assert error.code == "bad_params", (method, params, error)
    return error


@pytest.mark.parametrize("method", METHODS)
def test_it_takes_what_the_protocol_says(client, method):
    known = {m["name"]: m for m in client.call("system.methods")}
    assert method in known
    params = {p["name"]: p for p in known[method]["params"]}
    assert "user" in params and not params["user"]["required"]
    for name in METHODS[method].split():
        assert name.rstrip("!") in params, (method, name)
        assert params[name.rstrip("!")]["required"] == name.endswith("!"), (method, name)
    if method in STREAMS:
        assert known[method]["streams"] is True
    assert known[method]["doc"]


@pytest.mark.parametrize("method", METHODS)
def test_a_misspelled_parameter_is_named(client, method):
    assert "folow" in refused(client, method, good(method) | {"folow": True}).message


@pytest.mark.parametrize("method", METHODS)
def test_what_is_required_is_named(client, method):
    for name in METHODS[method].split():
        if name.endswith("!"):
            params = good(method)
            del params[name[:-1]]
            assert name[:-1] in refused(client, method, params).message


@pytest.mark.parametrize("method", METHODS)
def test_only_absolute_paths(client, method):
    """And none that the kernel would see only the beginning of."""
    for path in ("", ".", "a", "a/b", "./a", "../a", "~/a", "~", "/a\0b", b"/a\0b", b"\xff", 1, None, True, ["/a"], {"a": 1}, 1.5):
        params = good(method, path)
        if method == "fs.write_files":
            refused(client, method, params)
        for name in ("path", "from", "to"):
            if name in params:
                refused(client, method, good(method) | {name: path})


@pytest.mark.parametrize("method", METHODS)
def test_parameters_have_types_and_ranges(client, method):
    for name in METHODS[method].split():
        name = name.rstrip("!")
        wrong = {"offset": [-1, "1", 1.5, True], "length": [-1, "1"], "size": [-1, "1"], "limit": [-1, "1", 1.5],
                 "depth": [-1, "1"], "coalesce_ms": [-1, "1", 1.5], "events": ["created", [1], ["x"]], "max_depth": [-1, "1"], "mode": [-1, 0o10000, "644", 0o100644],
                 "ignore": ["x", [1], {}], "files": ["x", [1], {}], "sha256": [1, "abc", "g" * 64, "a" * 65],
                 "mtime_us": ["1", 1.5], "atime_us": ["1", 1.5], "owner": [True, []], "data": [1, []],
                 "pattern": [1, []], "type": ["directory", 1]}.get(name, [1, "true", []])
        if name in ("path", "from", "to", "target", "name"):
            continue
        for value in wrong:
            refused(client, method, good(method) | {name: value})


@pytest.mark.parametrize("method", METHODS)
def test_unknown_users_are_not_found(client, method, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    error = error_of(client.call, method, good(method) | {"user": "no-such-user"})
    assert error.code == "not_found" and "no-such-user" in error.message
    if "owner" in METHODS[method] and method != "fs.chown":
        error = error_of(client.call, method, good(method) | {"owner": "no-such-owner"})
        assert error.code == "not_found" and "no-such-owner" in error.message


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"fs.exists", "fs.mkdir", "fs.put", "fs.write_files"}))
def test_what_is_not_there(client, method, guest_dir):
    """The error has the errno's name and number, the path and a sentence."""
    error = error_of(client.call, method, good(method, f"{guest_dir}/none/at all"))
    assert (error.code, error.errno) == ("ENOENT", 2), error
    assert error.path == f"{guest_dir}/none/at all"


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"fs.exists", "fs.write_files"}))
def test_a_file_is_no_directory(client, method, guest_dir):
    client.call("fs.put", {"path": f"{guest_dir}/file", "data": b"x"})
    error = error_of(client.call, method, good(method, f"{guest_dir}/file/below"))
    assert (error.code, error.errno) == ("ENOTDIR", 20), error


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"fs.exists", "fs.write_files"}))
def test_a_link_that_leads_to_itself(client, method, guest_dir):
    client.call("fs.symlink", {"target": "loop", "path": f"{guest_dir}/loop"})
    error = error_of(client.call, method, good(method, f"{guest_dir}/loop/below"))
    assert error.code == "ELOOP", error


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"fs.exists", "fs.write_files"}))
def test_a_name_longer_than_any_file_system_has(client, method, guest_dir):
    error = error_of(client.call, method, good(method, f"{guest_dir}/{'n' * 300}"))
    assert error.code == "ENAMETOOLONG", error
