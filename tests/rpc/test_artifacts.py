"""artifacts: the files that a process was to produce, told with its exit."""

import hashlib

import pytest

from client import LONG
from support import error_of, eventually, rounds, unique


def by_exec(client, **spawn):
    return client.open("proc.exec", spawn).wait(LONG)


def by_run(client, **spawn):
    return client.call("proc.run", spawn, 60)


def by_wait(client, **spawn):
    info = client.call("proc.start", spawn)
    return client.call("proc.wait", {"id": info["id"]}, 60)


def by_attach(client, **spawn):
    """To one that has ended long since."""
    info = client.call("proc.start", spawn)
    client.call("proc.wait", {"id": info["id"]}, 60)
    return client.open("proc.attach", {"id": info["id"]}).wait(LONG)


def by_stop(client, **spawn):
    info = client.call("proc.start", {**spawn, "cmd": spawn["cmd"] + "; echo ready; exec sleep 1000"})
    eventually(lambda: client.call("proc.logs", {"id": info["id"]})["text"], "it is ready")
    return client.call("proc.stop", {"id": info["id"], "signal": "KILL"}, 60)


WAYS = [by_exec, by_run, by_wait, by_attach, by_stop]


def found(path, content):
    return {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def missing(path, error):
    return {"path": path, "missing": True, "error": error}


def artifacts(client, paths, cmd="true", **spawn):
    return by_run(client, cmd=cmd, artifacts=paths, **spawn)["artifacts"]


def sh(client, script, *args):
    """As root, in the guest."""
    result = client.call("proc.run", {"argv": ["sh", "-ec", script, "sh", *args]})
    assert result["code"] == 0, result


# -- what there is -------------------------------------------------------------------------------

@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_learning_an_exit_tells_them(client, guest_dir, way):
    paths = [f"{guest_dir}/made", f"{guest_dir}/not made"]
    result = way(client, cmd=f"printf hello >{paths[0]}", artifacts=paths)
    assert result["artifacts"] == [found(paths[0], b"hello"), missing(paths[1], "ENOENT")]


def test_an_exit_without_them_says_nothing(client):
    assert "artifacts" not in by_run(client, cmd="true")


def test_they_are_told_however_it_ends(client, guest_dir):
    path = f"{guest_dir}/a"
    for end, code, number in (("exit 3", 3, None), ("kill -9 $$", None, 9)):
        result = by_run(client, cmd=f"echo {code} >{path}; {end}", artifacts=[path])
        assert (result["code"], result["signal"]) == (code, number)
        assert result["artifacts"] == [found(path, f"{code}\n".encode())]


def test_in_the_order_asked_and_as_often(client, guest_dir):
    sh(client, 'cd "$1"; printf 1 >one; printf 22 >two; : >none', guest_dir)
    names = ["two", "one", "absent", "none", "two"]
    got = artifacts(client, names, cwd=guest_dir)
    assert got == [found("two", b"22"), found("one", b"1"), missing("absent", "ENOENT"),
                   found("none", b""), found("two", b"22")]


@pytest.mark.parametrize("name", ["below/it", "./below/it", "below/../below//it", "../{}/below/it"])
def test_relative_to_where_it_was_started(client, guest_dir, name):
    name = name.format(guest_dir.rpartition("/")[2])
    got = artifacts(client, [name], cmd="mkdir below; printf x >below/it; cd /", cwd=guest_dir)
    assert got == [found(name, b"x")]


def test_relative_without_a_cwd(client):
    """Below where it ran, which is the user's home or the root."""
    name = unique("rpc-artifact")
    got = by_run(client, cmd=f"printf x >{name}; pwd", artifacts=[name])
    where = got["stdout"].decode().rstrip("\n")
    sh(client, 'rm "$1"', f"{where}/{name}")
    assert got["artifacts"] == [found(name, b"x")]


def test_names_are_bytes(client, guest_dir):
    """What is UTF-8 comes back as text, what is not as bytes, as it was given."""
    names = ["\u00e4 b\n", b"\xff\xfe"]
    sh(client, 'cd "$1"; printf u >"$2"; printf b >"$3"', guest_dir, *names)
    assert artifacts(client, names, cwd=guest_dir) == [found(names[0], b"u"), found(names[1], b"b")]


@pytest.mark.parametrize("size", [1, (128 << 10) - 1, 128 << 10, (128 << 10) + 1, 20_000_000])
def test_sizes(client, guest_dir, size):
    path = f"{guest_dir}/large"
    assert artifacts(client, [path], cmd=f"head -c {size} /dev/zero >{path}") == [found(path, bytes(size))]


# -- what there is not ---------------------------------------------------------------------------

def test_only_regular_files_count(client, guest_dir):
    sh(client, 'cd "$1"; mkdir dir; mkfifo fifo; ln -s nowhere dangling; ln -s loop loop; printf x >file', guest_dir)
    want = {"dir": "EISDIR", "dir/": "EISDIR", ".": "EISDIR", "fifo": "EINVAL", "dangling": "ENOENT", "loop": "ELOOP",
            "file/": "ENOTDIR", "file/below": "ENOTDIR", "/dev/null": "EINVAL", "/dev/zero": "EINVAL",
            "x" * 300: "ENAMETOOLONG", "x/" * 3000: "ENAMETOOLONG"}
    got = artifacts(client, list(want), cwd=guest_dir)
    assert got == [missing(path, error) for path, error in want.items()]


def test_a_directory_that_is_gone(client, guest_dir):
    where = f"{guest_dir}/d"
    sh(client, 'mkdir "$1"', where)
    got = artifacts(client, ["a"], cmd=f"printf x >a; cd /; rm -r {where}", cwd=where)
    assert got == [missing("a", "ENOENT")]


def test_a_file_that_grows_is_told_as_it_was(client, guest_dir):
    """Somebody writes to it as fast as can be; what is told was in it at some time."""
    path = f"{guest_dir}/log"
    result = by_run(client, cmd=f"head -c 40000000 /dev/zero >{path} & until [ -s {path} ]; do :; done",
                    artifacts=[path])
    [got] = result["artifacts"]
    assert 0 < got["size"] <= 40_000_000 and got == found(path, bytes(got["size"]))


def test_too_many(client):
    assert len(artifacts(client, ["/none"] * 1024)) == 1024
    error = error_of(client.call, "proc.run", {"cmd": "true", "artifacts": ["/none"] * 1025})
    assert error.code == "bad_params" and "artifacts" in error.message


# -- as whom -------------------------------------------------------------------------------------

@pytest.fixture
def secret(client, guest_dir, is_root):
    """A file of root's, and beside it a directory of everybody's."""
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; umask 077; printf secret >secret; mkdir shut; printf x >shut/open; chmod 644 shut/open; '
               'mkdir all; chmod 1777 all', guest_dir)
    return f"{guest_dir}/secret"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("user", ["nobody", "4321", "4321:1234"])
def test_a_link_to_what_its_user_may_not_read_shows_nothing(client, guest_dir, secret, way, user):
    names = ["all/link", "all/own", "shut/open"]
    result = way(client, cmd=f"ln -s {secret} all/link; printf mine >all/own", user=user, cwd=guest_dir, artifacts=names)
    assert result["artifacts"] == [missing("all/link", "EACCES"), found("all/own", b"mine"),
                                   missing("shut/open", "EACCES")]


def test_root_sees_all(client, guest_dir, secret):
    sh(client, 'ln -s "$1" "$2"/all/link', secret, guest_dir)
    want = [found("all/link", b"secret"), found("shut/open", b"x")]
    assert artifacts(client, ["all/link", "shut/open"], cwd=guest_dir) == want


def test_its_group_counts_and_root_s_do_not(client, guest_dir, secret):
    sh(client, 'cd "$1"; printf g >group; chown 0:1234 group; printf r >rootgroup; chown 0:0 rootgroup; '
               'chmod 640 group rootgroup', guest_dir)
    got = artifacts(client, ["group", "rootgroup"], user="4321:1234", cwd=guest_dir)
    assert got == [found("group", b"g"), missing("rootgroup", "EACCES")]
    got = artifacts(client, ["group", "rootgroup"], user="4321", cwd=guest_dir)
    assert got == [missing("group", "EACCES"), missing("rootgroup", "EACCES")]


def test_the_agent_is_itself_again_afterwards(client, guest_dir, secret):
    """Many at once, as different users, on the same few threads: nobody gets the rights of another."""
    sh(client, 'cd "$1"; for u in 4321 4322; do printf $u >$u; chown $u $u; chmod 400 $u; done', guest_dir)
    names = ["secret", "4321", "4322"]
    for _ in range(rounds(20)):
        calls = []
        for user in ("4321", "0", "4322", "nobody") * 3:
            calls.append((user, client.open("proc.run", {"argv": ["true"], "user": user, "cwd": guest_dir,
                                                         "artifacts": names})))
        for user, call in calls:
            want = [found("secret", b"secret")] if user == "0" else [missing("secret", "EACCES")]
            want += [found(u, u.encode()) if user in (u, "0") else missing(u, "EACCES") for u in names[1:]]
            assert call.wait(LONG)["artifacts"] == want, user
