"""libguestd, installed into a directory, compiled against with pkg-config, and run."""

import os
import random
import re
import subprocess

import pytest

from client import LONG
from clients import REFUSED, ROOT, Fake, Hybrid, example
from support import rounds

pytestmark = pytest.mark.local

FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    subprocess.run(["make", "-s", "-C", ROOT, "install-lib", f"PREFIX={prefix}", "SAN=", "CC=gcc"], check=True, timeout=5 * LONG)
    return prefix


@pytest.fixture(scope="module")
def build(installed, tmp_path_factory):
    """build(source): the program, made as anybody would make it."""
    env = {**os.environ, "PKG_CONFIG_PATH": str(installed / "lib/pkgconfig")}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "guestd"], env=env, check=True, capture_output=True, text=True).stdout.split()

    def do(source):
        program = tmp_path_factory.mktemp("program") / "program"
        subprocess.run(["gcc", *FLAGS, "-o", program, source, *flags], check=True, timeout=LONG)
        return program
    return do


@pytest.fixture(scope="module")
def program(build):
    return build(ROOT / "tests/rpc/client_c.c")


def run(*args, **kwargs):
    return subprocess.run(args, capture_output=True, timeout=2 * LONG, **kwargs)


def test_both_ways_at_once_within_the_credits(agent, program):
    data = random.Random(1).randbytes(rounds(20_000_000))
    done = run(program, "cat", agent.endpoint, input=data)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_calls_and_mistakes(agent, program):
    done = run(program, "calls", agent.endpoint)
    assert done.returncode == 0, done.stderr


def test_hybrid_vsock(agent, program, tmp_path):
    with Hybrid(tmp_path, agent.endpoint[5:]) as monitor:
        assert run(program, "cat", monitor.endpoint, input=b"through").stdout == b"through"


@pytest.mark.parametrize("endpoint, why", [("unix:/no/such/socket", b"2 cannot connect to /no/such/socket"), ("tcp:1", b"22 ")])
def test_nobody_there(program, endpoint, why):
    done = run(program, "calls", endpoint)
    assert done.returncode == 2 and done.stderr.startswith(why), done.stderr


def test_a_token_is_wanted(guestd, program, tmp_path):
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o600)
    done = run(program, "calls", guestd("--token-file", tmp_path / "token").endpoint)
    assert done.returncode == 2 and done.stderr.startswith(b"13 "), done.stderr


@pytest.mark.parametrize("name", ["a length of 4 GiB", "the byte that is never used", "an array that is cut", "nested a thousand times"])
def test_an_agent_that_breaks_the_protocol(program, tmp_path, name):
    with Fake(tmp_path, REFUSED[name]) as fake:
        done = run(program, "cat", fake.endpoint, input=b"")
        assert done.returncode == 1 and b"the agent" in done.stderr, done.stderr


def test_the_example_runs(agent, build, tmp_path):
    (tmp_path / "example.c").write_text(example("c"))
    done = run(build(tmp_path / "example.c"), agent.endpoint)
    assert (done.returncode, done.stdout) == (0, b"hello\nexit code 3\n"), done.stderr


def test_its_header_is_all_that_is_seen(installed, tmp_path):
    """What the library defines is what the header declares; C++ takes the header, too."""
    header = (installed / "include/guestd.h").read_text()
    declared = set(re.findall(r"\b(guestd_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.S)))
    symbols = run("nm", "--defined-only", "--extern-only", installed / "lib/libguestd.a", text=True).stdout
    assert set(re.findall(r" [A-Z] (\w+)$", symbols, re.M)) == declared and len(declared) > 30
    (tmp_path / "x.c").write_text("#include <guestd.h>\n")
    for compiler in (["gcc", "-std=c99", "-pedantic"], ["clang", "-x", "c++", "-std=c++11", "-pedantic"]):
        subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{installed}/include", tmp_path / "x.c"], check=True)
