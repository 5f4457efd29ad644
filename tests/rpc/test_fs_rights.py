"""`user`: a file method can do what that user could do, and nothing more. The kernel's rules are written down here
once more, and every owner, mode, user and method is compared with them."""

import pytest

from files import cat, names, sh, stat
from support import REMOTE, error_of, rounds

pytestmark = pytest.mark.usefixtures("root_only")

OWNERS = [(0, 0), (4321, 1234)]
USERS = [None, "4321:1234", "4321:99", "4322:1234", "4322:4322", "0:0"]
MODES = [0o000, 0o700, 0o070, 0o007, 0o400, 0o040, 0o004, 0o200, 0o020, 0o002, 0o500, 0o050, 0o005, 0o300, 0o030, 0o003,
         0o600, 0o066, 0o707, 0o077, 0o755, 0o777][::3 if REMOTE else 1]     # an emulated guest takes its time
READ, WRITE, SEARCH = 4, 2, 1

# What can be asked of a file, what has to be allowed for it, and nothing of which changes anything.
ON_FILES = {
    "fs.get": (READ, {}), "fs.read": (READ, {}), "fs.hash": (READ, {}), "fs.grep": (READ, {"pattern": "a"}),
    "fs.put": (WRITE, {"data": b"data"}), "fs.put in place": (WRITE, {"data": b"data", "atomic": False}),
    "fs.put append": (WRITE, {"data": b"", "append": True}), "fs.put offset": (WRITE, {"data": b"data", "offset": 0}),
    "fs.truncate": (WRITE, {"size": 4}), "fs.stat": (0, {}), "fs.exists": (0, {}), "fs.usage": (0, {}),
}


@pytest.fixture
def root_only(is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")


def allowed(user, owner, mode, wanted):
    """The rule of path_resolution(7)."""
    uid, gid = map(int, (user or "0:0").split(":"))
    bits = mode >> 6 if uid == owner[0] else mode >> 3 if gid == owner[1] else mode
    return uid == 0 or bits & wanted == wanted


def as_user(user):
    return {} if user is None else {"user": user}


def make_all(client, guest_dir, command):
    """One for each owner and mode, in a directory where everybody may everything."""
    sh(client, 'mkdir "$1"; chmod 777 "$1"', f"{guest_dir}/all")
    every = [(f"{guest_dir}/all/{owner[0]}.{mode:03o}", owner, mode) for owner in OWNERS for mode in MODES]
    sh(client, "\n".join(f"{command.replace('@', path)}; chown {owner[0]}:{owner[1]} {path}; chmod {mode:o} {path}"
                         for path, owner, mode in every))
    return every


def check(client, wanted):
    """All of them at once: [(method, params, whether it is allowed)]."""
    calls = [(client.open(method.split()[0], params), method, params, good) for method, params, good in wanted]
    for call, method, params, good in calls:
        call.pump(lambda call=call: call.done, 60)
        assert (call.error or {}).get("code") == (None if good else "EACCES"), (method, params, call.error)


def seen(client, paths, what):
    """A line of each of them, as the shell puts it together."""
    return sh(client, f'for i; do echo "{what}"; done', *paths).decode().splitlines()


def outcome(call):
    """None, or the code of its error."""
    call.pump(lambda: call.done, 60)
    return (call.error or {}).get("code")


# -- the matrix ----------------------------------------------------------------------------------

@pytest.mark.parametrize("user", USERS)
def test_files(client, guest_dir, user):
    every = make_all(client, guest_dir, "printf data >@")
    before = sh(client, 'cd "$1"; stat -c "%n %s %a %u:%g" *', f"{guest_dir}/all")
    for method, (needs, params) in ON_FILES.items():
        check(client, [(method, {"path": path, **params, **as_user(user)}, allowed(user, owner, mode, needs))
                       for path, owner, mode in every])
        after = sh(client, 'cd "$1"; stat -c "%n %s %a %u:%g" *', f"{guest_dir}/all")
        assert after == before, f"{method} keeps mode and owner"
        assert not [n for n in names(client, f"{guest_dir}/all") if n.startswith(".")]


@pytest.mark.parametrize("user", USERS)
def test_uploads(client, guest_dir, user):
    """fs.write and fs.write_files, for which the same holds."""
    every = make_all(client, guest_dir, "printf data >@")
    for path, owner, mode in every:
        for atomic in (True, False):
            call = client.open("fs.write", {"path": path, "atomic": atomic, **as_user(user)})
            call.write(b"data")
            call.end()
            assert outcome(call) == (None if allowed(user, owner, mode, WRITE) else "EACCES"), (path, user)
    got = client.call("fs.write_files", {"files": [{"path": path, "data": b"new"} for path, _, _ in every], **as_user(user)})
    want = []
    for (path, owner, mode), result in zip(every, got["files"]):
        good = allowed(user, owner, mode, WRITE)
        assert ("error" not in result) == good, (path, user, result)
        want.append(f"{mode:o} {owner[0]}:{owner[1]} {'new' if good else 'data'}")
    assert seen(client, [path for path, _, _ in every], '$(stat -c "%a %u:%g" "$i") $(cat "$i")') == want


@pytest.mark.parametrize("user", USERS)
def test_directories(client, guest_dir, user):
    every = make_all(client, guest_dir, "mkdir @; printf x >@/f; mkdir @/d; chmod 755 @/d; ln -s f @/l")
    who = as_user(user)
    inside = [("fs.stat", "f", {}), ("fs.exists", "f", {}), ("fs.readlink", "l", {}), ("fs.get", "f", {}), ("fs.list", "d", {}),
              ("fs.tree", "d", {}), ("fs.find", "d", {}), ("fs.hash", "d", {}), ("fs.usage", "f", {})]
    for method, name, params in inside:
        check(client, [(method, {"path": f"{path}/{name}", **params, **who}, allowed(user, owner, mode, SEARCH))
                       for path, owner, mode in every])
    for method in ("fs.list", "fs.tree", "fs.hash"):
        for needs in (READ | SEARCH, READ):
            check(client, [(method, {"path": path, **who}, needs == READ | SEARCH) for path, owner, mode in every
                           if allowed(user, owner, mode, needs) == (needs == READ | SEARCH)])


@pytest.mark.parametrize("user", USERS)
def test_what_changes_directories(client, guest_dir, user):
    every = make_all(client, guest_dir, "mkdir @; : >@/gone; : >@/f")
    makes = [("fs.mkdir", "dir", {}), ("fs.put", "put", {"data": b""}), ("fs.put", "in place", {"data": b"", "atomic": False}),
             ("fs.symlink", "link", {"target": "x"}), ("fs.put", "parents/put", {"data": b""}), ("fs.delete", "gone", {})]
    for method, name, params in makes:
        check(client, [(method, {"path": f"{path}/{name}", **params, **as_user(user)},
                        allowed(user, owner, mode, WRITE | SEARCH)) for path, owner, mode in every])
    mine = user or "0:0"
    paths = [path for path, _, _ in every]
    good = [allowed(user, owner, mode, WRITE | SEARCH) for _, owner, mode in every]
    assert seen(client, paths, '$(ls -A "$i" | tr "\\n" " ")') \
        == ["dir f in place link parents put " if g else "f gone " for g in good]
    made = [p for p, g in zip(paths, good) if g]
    for name, mode in (("put", 644), ("in place", 644), ("dir", 755), ("parents", 755), ("parents/put", 644), ("link", 777)):
        assert seen(client, [f"{p}/{name}" for p in made], '$(stat -c "%a %u:%g" "$i")') == [f"{mode} {mine}"] * len(made), name


@pytest.mark.parametrize("user", USERS)
def test_what_owners_only_may(client, guest_dir, user):
    every = make_all(client, guest_dir, ": >@")
    uid = int((user or "0:0").split(":")[0])
    for path, owner, mode in every:
        good = uid in (0, owner[0])
        for method, params in (("fs.chmod", {"mode": mode}), ("fs.utimes", {"mtime_us": 5_000_000})):
            call = client.open(method, {"path": path, **params, **as_user(user)})
            assert outcome(call) == (None if good else "EPERM"), (method, path)
        call = client.open("fs.chown", {"path": path, "owner": "77:78", **as_user(user)})
        assert outcome(call) == (None if uid == 0 else "EPERM"), path
    assert seen(client, [path for path, _, _ in every], '$(stat -c "%u:%g" "$i")') \
        == ["77:78" if uid == 0 else f"{owner[0]}:{owner[1]}" for _, owner, _ in every]


# -- who is meant --------------------------------------------------------------------------------

def test_names_and_numbers(client, guest_dir):
    sh(client, 'cd "$1"; chmod 777 .', guest_dir)
    group = sh(client, 'stat -c %G "$1"', guest_dir).decode().strip()       # root's
    for i, (user, want) in enumerate([("nobody", "65534:65534"), ("4321:1234", "4321:1234"), ("root", "0:0"), ("0", "0:0"),
                                      (f"nobody:{group}", "65534:0"), ("nobody:1234", "65534:1234"), ("65534:0", "65534:0")]):
        path = f"{guest_dir}/{i}"
        client.call("fs.put", {"path": path, "data": b"x", "user": user})
        assert stat(client, path, "%u:%g") == want


def test_further_groups_count(client, guest_dir):
    """Those of /etc/group: of whom only the name is given."""
    members = sh(client, """awk -F: '$4 != "" && $3 != 0 {split($4, m, ","); print m[1], $3}' /etc/group""").decode()
    for line in members.splitlines():
        user, gid = line.split()
        if user != "root" and client.call("proc.run", {"argv": ["id", "-u", user]})["code"] == 0:
            break
    else:
        pytest.skip("nobody is in a further group")
    sh(client, 'printf x >"$1"; chown "0:$2" "$1"; chmod 640 "$1"', f"{guest_dir}/f", gid)
    assert client.call("fs.get", {"path": f"{guest_dir}/f", "user": user})["data"] == b"x"
    assert error_of(client.call, "fs.get", {"path": f"{guest_dir}/f", "user": f"{user}:4444"}).code == "EACCES"
    assert error_of(client.call, "fs.get", {"path": f"{guest_dir}/f", "user": "4321:4321"}).code == "EACCES"


def test_the_owner_is_set_with_the_user_s_rights(client, guest_dir):
    """Who may not give a file away does not by this, and what failed leaves nothing."""
    sh(client, 'mkdir "$1"/d; chown 4321:1234 "$1"/d', guest_dir)
    for method, params in (("fs.put", {"data": b"x"}), ("fs.put", {"data": b"x", "atomic": False}), ("fs.mkdir", {}),
                           ("fs.symlink", {"target": "x"})):
        path = f"{guest_dir}/d/{method}"
        assert error_of(client.call, method, {"path": path, "user": "4321:1234", "owner": "0:0", **params}).code == "EPERM"
        client.call(method, {"path": path, "user": "4321:1234", "owner": "4321:1234", **params})
        assert stat(client, path, "%u:%g") == "4321:1234"
        client.call("fs.delete", {"path": path})
    error_of(client.call, "fs.put", {"path": f"{guest_dir}/d/x", "data": b"x", "user": "4321:1234", "owner": "0:0"})
    assert names(client, f"{guest_dir}/d") == []


def test_parents_belong_to_the_user(client, guest_dir):
    sh(client, 'mkdir "$1"/d; chown 4321:1234 "$1"/d', guest_dir)
    client.call("fs.put", {"path": f"{guest_dir}/d/a/b/c", "data": b"x", "user": "4321:1234"})
    client.call("fs.mkdir", {"path": f"{guest_dir}/d/e/f", "user": "4321:1234"})
    for path in ("a", "a/b", "e", "e/f"):
        assert stat(client, f"{guest_dir}/d/{path}", "%a %u:%g") == "755 4321:1234"


def test_a_link_to_what_one_may_not_read(client, guest_dir):
    sh(client, 'cd "$1"; umask 077; printf secret >secret; mkdir shut; printf secret >shut/f; chmod 644 shut/f; mkdir d; '
               'chown 4321:4321 d; ln -s ../secret d/a; ln -s ../shut/f d/b', guest_dir)
    for name in ("a", "b"):
        for method, params in (("fs.get", {}), ("fs.read", {}), ("fs.hash", {}), ("fs.grep", {"pattern": "s"}),
                               ("fs.put", {"data": b"x"}), ("fs.truncate", {"size": 0})):
            error = error_of(client.call, method, {"path": f"{guest_dir}/d/{name}", "user": "4321:4321", **params})
            assert error.code == "EACCES", method
    assert cat(client, f"{guest_dir}/secret") == cat(client, f"{guest_dir}/shut/f") == b"secret"
    assert names(client, f"{guest_dir}/d") == ["a", "b"]


@pytest.fixture
def protected(client):
    """fs.protected_symlinks, see proc(5): of a guest of ours it is switched on."""
    path = "/proc/sys/fs/protected_symlinks"
    old = cat(client, path)
    if old.strip() == b"0" and not REMOTE:
        pytest.skip("this kernel follows every link, and it is not ours to change that")
    sh(client, f"echo 1 >{path}")
    yield
    sh(client, f'printf %s "$1" >{path}', old)


def test_links_that_the_kernel_does_not_follow(client, guest_dir, protected):
    """In a directory where everybody may put one. Not even for root, and not by way of reading where it leads."""
    sh(client, 'cd "$1"; printf secret >secret; mkdir d; chmod 1777 d; ln -s ../secret d/l; ln -s ../new d/n; ln -s .. d/up', guest_dir)
    for name in ("l", "n", "up"):
        sh(client, 'chown -h 4321:4321 "$1"', f"{guest_dir}/d/{name}")
    for user in (None, "4322:4322"):
        for method, params in (("fs.get", {}), ("fs.read", {}), ("fs.hash", {}), ("fs.put", {"data": b"x"}),
                               ("fs.put", {"data": b"x", "atomic": False}), ("fs.put", {"data": b"x", "append": True}),
                               ("fs.truncate", {"size": 0}), ("fs.chmod", {"mode": 0o777}), ("fs.utimes", {"mtime_us": 1}),
                               ("fs.stat", {"follow": True}), ("fs.grep", {"pattern": "s"})):
            error = error_of(client.call, method, {"path": f"{guest_dir}/d/l", **params, **as_user(user)})
            assert error.code == "EACCES", (method, user)
        for method in ("fs.list", "fs.tree", "fs.find"):
            assert error_of(client.call, method, {"path": f"{guest_dir}/d/up", **as_user(user)}).code == "EACCES", (method, user)
        assert error_of(client.call, "fs.put", {"path": f"{guest_dir}/d/n", "data": b"x", **as_user(user)}).code == "EACCES"
    assert cat(client, f"{guest_dir}/secret") == b"secret" and names(client, guest_dir) == ["d", "secret"]
    assert client.call("fs.get", {"path": f"{guest_dir}/d/l", "user": "4321:4321"})["data"] == b"secret"


def test_files_of_processes(client, start):
    """Their rights are more than a mode: what ptrace(2) may."""
    proc = f"/proc/{start(argv=['sleep', '1000'])['pid']}"
    assert client.call("fs.readlink", {"path": f"{proc}/exe"})
    assert client.call("fs.get", {"path": f"{proc}/environ"})["data"]
    for method, name in (("fs.readlink", "exe"), ("fs.get", "environ"), ("fs.list", "fd")):
        assert error_of(client.call, method, {"path": f"{proc}/{name}", "user": "4321:4321"}).code == "EACCES"


def test_nobody_gets_the_rights_of_another(client, guest_dir):
    """Many at once, as different users, on the same few threads; long calls among them."""
    sh(client, 'cd "$1"; for u in 4321 4322 0; do printf $u >$u; chown $u:$u $u; chmod 400 $u; done', guest_dir)
    users = ["4321:4321", None, "4322:4322", "nobody", "0:0"]
    for i in range(rounds(10)):
        calls = []
        for j in range(100):
            user, method = users[(i + j) % 5], ("fs.get", "fs.read", "fs.hash", "fs.grep")[j % 4]
            for name in ("4321", "4322", "0"):
                params = {"path": f"{guest_dir}/{name}", **as_user(user)} | ({"pattern": "."} if method == "fs.grep" else {})
                calls.append((user, name, client.open(method, params)))
        for user, name, call in calls:
            good = user in (None, "0:0") or user == f"{name}:{name}"
            assert outcome(call) == (None if good else "EACCES"), (user, name, call.method)
    assert client.call("fs.get", {"path": f"{guest_dir}/4321"})["data"] == b"4321"
    made = client.call("proc.run", {"argv": ["id", "-u"]})
    assert made["stdout"] == b"0\n"
