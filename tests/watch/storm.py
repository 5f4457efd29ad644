"""Random changes of a tree, each of them possible when it is its turn.

A Storm makes them up: it knows the tree that it has made so far, and uses few names, so that one that was free a moment
ago is taken by something else, directories are renamed while they are worked in, and what is replaced is replaced again.
They are lists of plain values: run() does them here, as_shell() says them to a shell elsewhere.

    python3 storm.py ROOT <changes.json
"""

import ctypes
import itertools
import json
import os
import shutil
import subprocess
import sys

DIRS = ["a", "b", "c", "d", "e", "skip"]
FILES = [f"f{i}" for i in range(30)] + ["x.tmp", "y.tmp"]
DEPTH = 6
OUTSIDE = "../outside"
REPOSITORY = "repo"

# What the watches of the test are told to ignore, and how to see that a path is.
IGNORE = ["*.tmp", "skip"]

FILE = None     # in a tree of dicts


def ignored(path):
    return any(name.endswith(b".tmp") or name == b"skip" for name in path.split(b"/"))


class Storm:
    """random: where it comes from. shell: only what a shell can say."""

    def __init__(self, random, shell=False):
        self.random = random
        self.tree = {}
        self.out = {}           # what was moved away: name below OUTSIDE -> file or tree
        self.numbers = itertools.count()
        self.shell = shell
        self.repository = False

    # -- places --------------------------------------------------------------------------------------

    def somewhere(self):
        """A directory: its path as a list of names, and its tree."""
        path, node = [], self.tree
        while len(path) < DEPTH:
            below = [name for name, child in node.items() if child is not FILE]
            if not below or self.random.random() < 0.35:
                break
            path = [*path, self.random.choice(below)]
            node = node[path[-1]]
        return path, node

    def pick(self, want_dir):
        """Something that is there: the path and tree of its directory, its name; or None."""
        for _ in range(5):
            path, node = self.somewhere()
            names = [name for name, child in node.items() if (child is not FILE) == want_dir]
            if names:
                return path, node, self.random.choice(names)
        return None

    def free(self, want_dir):
        """A place where nothing is yet, or None."""
        for _ in range(5):
            path, node = self.somewhere()
            name = self.random.choice(DIRS if want_dir else FILES)
            if name not in node:
                return path, node, name
        return None

    # -- changes: each returns what there is to do, with the tree as it is then -----------------------

    def create(self):
        if place := self.free(False):
            path, node, name = place
            node[name] = FILE
            return [[self.random.choice(["create", "write"]), join(path, name)]]

    def change(self):
        if place := self.pick(False):
            path, _, name = place
            return [[self.random.choice(["append", "write", "chmod", "append"]), join(path, name)]]

    def replace(self):
        """As editors save."""
        if place := self.pick(False):
            path, node, name = place
            draft = f".{name}.{next(self.numbers)}"
            return [["write", join(path, draft)], ["rename", join(path, draft), join(path, name)]]

    def unlink(self):
        if place := self.pick(False):
            path, node, name = place
            del node[name]
            return [["unlink", join(path, name)]]

    def rename(self):
        """A file, to a free name or over another one."""
        source = self.pick(False)
        target = self.free(False) if self.random.random() < 0.6 else self.pick(False)
        if source and target and (source[0], source[2]) != (target[0], target[2]):
            del source[1][source[2]]
            target[1][target[2]] = FILE
            return [["rename", join(source[0], source[2]), join(target[0], target[2])]]

    def mkdir(self):
        if (place := self.free(True)) and len(place[0]) < DEPTH:
            path, node, name = place
            node[name] = {}
            return [["mkdir", join(path, name)]]

    def path_at_once(self):
        """mkdir -p, and files at once."""
        if (place := self.free(True)) and len(place[0]) < DEPTH - 2:
            path, node, name = place
            done = []
            for step in (name, *self.random.choices(DIRS, k=2)):
                path, node[step] = [*path, step], {}
                node = node[step]
                done.append(["mkdir", join(path)])
                if self.random.random() < 0.5:
                    file = self.random.choice(FILES)
                    node[file] = FILE
                    done.append(["write", join(path, file)])
            return done

    def rename_dir(self):
        """Often it is worked in at once."""
        source, target = self.pick(True), self.free(True)
        if not source or not target or len(target[0]) >= DEPTH:
            return None
        old, new = [*source[0], source[2]], [*target[0], target[2]]
        if new[:len(old)] == old:
            return None
        node = target[1][target[2]] = source[1].pop(source[2])
        done = [["rename", join(old), join(new)]]
        if self.random.random() < 0.5:
            name = self.random.choice(FILES)
            if node.get(name, FILE) is FILE:
                node[name] = FILE
                done.append(["write", join(new, name)])
        return done

    def rename_over_dir(self):
        """rename(2) replaces a directory that is empty."""
        source, target = self.pick(True), self.pick(True)
        if self.shell or not source or not target or target[1][target[2]] != {}:
            return None
        old, new = [*source[0], source[2]], [*target[0], target[2]]
        if new[:len(old)] == old or old[:len(new)] == new:
            return None
        target[1][target[2]] = source[1].pop(source[2])
        return [["rename", join(old), join(new)]]

    def change_places(self):
        """By way of a third name."""
        if place := self.pick(True):
            path, node, name = place
            others = [n for n, child in node.items() if child is not FILE and n != name]
            if others:
                other = self.random.choice(others)
                node[name], node[other] = node[other], node[name]
                a, b, c = join(path, name), join(path, other), join(path, "third")
                return [["rename", a, c], ["rename", b, a], ["rename", c, b]]

    def exchange(self):
        """In one step, whatever they are."""
        is_dir = self.random.random() < 0.5
        one, two = self.pick(is_dir), self.pick(is_dir if self.random.random() < 0.7 else not is_dir)
        if self.shell or not one or not two:
            return None
        a, b = [*one[0], one[2]], [*two[0], two[2]]
        if a[:len(b)] == b or b[:len(a)] == a:
            return None
        one[1][one[2]], two[1][two[2]] = two[1][two[2]], one[1][one[2]]
        return [["exchange", join(a), join(b)]]

    def remove(self):
        if place := self.pick(True):
            path, node, name = place
            del node[name]
            return [["rmtree", join(path, name)]]

    def move_out(self):
        if place := self.pick(self.random.random() < 0.6):
            path, node, name = place
            other = str(next(self.numbers))
            self.out[other] = node.pop(name)
            return [["rename", join(path, name), f"{OUTSIDE}/{other}"]]

    def move_in(self):
        if not self.out:
            return None
        other = self.random.choice(list(self.out))
        if place := self.free(self.out[other] is not FILE):
            path, node, name = place
            node[name] = self.out.pop(other)
            return [["rename", f"{OUTSIDE}/{other}", join(path, name)]]

    def symlink(self):
        if place := self.free(False):
            path, _, name = place
            link = f"link{next(self.numbers)}"
            return [["symlink", join(path, link)], ["unlink", join(path, link)]]

    def link(self):
        source, target = self.pick(False), self.free(False)
        if source and target:
            target[1][target[2]] = FILE
            return [["link", join(source[0], source[2]), join(target[0], target[2])]]

    def git(self):
        return [["git", self.random.choice(["one", "two"])]] if self.repository else None

    WEIGHTS = {create: 20, change: 12, replace: 6, unlink: 8, rename: 8, mkdir: 10, path_at_once: 6, rename_dir: 8, rename_over_dir: 2,
               change_places: 3, exchange: 2, remove: 0.5, move_out: 1.5, move_in: 3, symlink: 1, link: 1, git: 0.02}

    def changes(self, n):
        """About n of them."""
        done = []
        kinds, weights = list(self.WEIGHTS), list(self.WEIGHTS.values())
        while len(done) < n:
            done += self.random.choices(kinds, weights)[0](self) or []
        return done


def join(path, *names):
    return "/".join([*path, *names])


# -- doing them ------------------------------------------------------------------------------------

def make_repository(root):
    """Two branches that differ in many files and directories."""
    def git(*args):
        subprocess.run(["git", "-C", f"{root}/{REPOSITORY}", "-c", "user.name=t", "-c", "user.email=t@t", *args], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.mkdir(f"{root}/{REPOSITORY}")
    git("init", "-b", "one")
    for branch, numbers in (("one", range(0, 40)), ("two", range(20, 60))):
        if branch == "two":
            git("checkout", "-b", branch)
            git("rm", "-rq", ".")
        for i in numbers:
            path = f"{root}/{REPOSITORY}/src{i % 5}/m{i % 3}/file{i}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(f"{branch} {i}\n")
        git("add", ".")
        git("commit", "-m", branch)


LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def exchange(a, b):
    if LIBC.renameat2(AT_FDCWD, a.encode(), AT_FDCWD, b.encode(), RENAME_EXCHANGE) < 0:
        raise OSError(ctypes.get_errno(), f"exchange of {a} and {b}")


def put(path, flags, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    if data:
        os.write(fd, data)
    os.close(fd)


def run(changes):
    """In the current directory."""
    for i, (kind, path, *rest) in enumerate(changes):
        if kind == "create":
            put(path, os.O_TRUNC, b"")
        elif kind == "write":
            put(path, os.O_TRUNC, b"%d\n" % i)
        elif kind == "append":
            put(path, os.O_APPEND, b"more\n")
        elif kind == "chmod":
            os.chmod(path, 0o600 + i % 64)
        elif kind == "rename":
            os.rename(path, rest[0])
            if os.path.lexists(path):   # two names of one file: rename(2) leaves both
                os.unlink(path)
        elif kind == "exchange":
            exchange(path, rest[0])
        elif kind == "unlink":
            os.unlink(path)
        elif kind == "mkdir":
            os.mkdir(path)
        elif kind == "rmtree":
            shutil.rmtree(path)
        elif kind == "symlink":
            os.symlink("/nowhere", path)
        elif kind == "link":
            os.link(path, rest[0])
        elif kind == "git":
            subprocess.run(["git", "-C", REPOSITORY, "checkout", "-qf", path], check=True)
        else:
            raise ValueError(kind)


SHELL = {"create": ": >{0}", "write": "echo {n} >{0}", "append": "echo more >>{0}", "chmod": "chmod {mode} {0}", "rename": "mv -f {0} {1}",
         "unlink": "rm -f {0}", "mkdir": "mkdir {0}", "rmtree": "rm -r {0}", "symlink": "ln -s /nowhere {0}", "link": "ln {0} {1}"}


def as_shell(changes):
    """The same as a script; no name needs quotes."""
    return "\n".join(SHELL[kind].format(*args, n=i, mode=f"{0o600 + i % 64:o}") for i, (kind, *args) in enumerate(changes))


if __name__ == "__main__":
    work = json.load(sys.stdin)
    os.chdir(sys.argv[1])
    run(work)
