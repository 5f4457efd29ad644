"""guestctl env: layers from a command line."""

import json
import os

import pytest

from guestctl import USAGE, interruptible, plain  # noqa: F401
from support import unique


@pytest.fixture
def env(plain, client):
    """guestctl env ...; its output. What it sets is in a scope that ends with the test."""
    def do(*args, status=0, **popen):
        done = plain("env", *args, **popen)
        assert done.returncode == status, (done.stdout, done.stderr)
        return (done.stdout if not status else done.stderr).decode()
    yield do
    for scope in ("tenant", "workspace", "project", "resource"):
        for target in ("all", "sandbox", "computer", "agent"):
            client.call("env.set", {"scope": scope, "target": target, "vars": {}, "replace": True})


def stored(client, **params):
    return {v["name"]: v.get("value") for v in client.call("env.list", {"reveal": True, **params})}


def test_set_list_unset(env, client):
    assert env("set", "A=1", "B=two words", "EMPTY=", "GONE") == ""
    assert stored(client) == {"A": "1", "B": "two words", "EMPTY": "", "GONE": None}
    lines = [line.split(None, 3) for line in env("list").splitlines()]
    assert lines == [["NAME", "SCOPE", "TARGET", "VALUE"], ["A", "resource", "all", "1"],
                     ["B", "resource", "all", "two words"], ["EMPTY", "resource", "all"],
                     ["GONE", "resource", "all", "(masked)"]]
    env("unset", "A", "GONE")
    assert stored(client) == {"B": "two words", "EMPTY": ""}


def test_scope_target_replace(env, client):
    env("set", "--scope", "tenant", "--target", "agent", "A=1", "B=2")
    env("set", "--scope", "tenant", "C=3")
    env("set", "--scope", "tenant", "--target", "agent", "--replace", "D=4")
    assert stored(client, scope="tenant", target="agent") == {"D": "4"}
    assert "C" in env("list", "--scope", "tenant", "--target", "all") and "D" not in env("list", "--target", "all")
    env("unset", "--scope", "tenant", "--target", "agent", "D")
    assert stored(client) == {"C": "3"}
    env("set", "--scope", "tenant", "--replace")
    assert stored(client) == {}


def test_secrets_come_from_files_and_are_hidden(env, client, tmp_path):
    secret = unique("secret")
    (tmp_path / "f").write_text(secret + "\n")
    env("set", "--secret", f"A=@{tmp_path / 'f'}", "B=-", input=b"from stdin \xff\n\n")
    assert stored(client) == {"A": secret, "B": b"from stdin \xff\n"}
    assert secret not in env("list") and env("list").count("(secret)") == 2
    assert secret in env("list", "--reveal")
    env("set", "--literal", "A=@x", "B=-")
    assert stored(client) == {"A": "@x", "B": "-"}
    assert "/no/such" in env("set", "A=@/no/such", status=1)


def test_resolve(env, client):
    kind = client.hello()["kind"]
    env("set", "--scope", "tenant", "A=weak", "B=b")
    env("set", "--target", "agent", "A=agent")
    assert [line.split() for line in env("resolve", "R=1").splitlines()[1:]] == [
        ["A", "tenant", "all", "weak"], ["B", "tenant", "all", "b"], ["R", "run", kind, "1"]]
    assert ["A", "resource", "agent", "agent"] in [line.split() for line in env("resolve", "--target", "agent").splitlines()]
    assert "B" not in env("resolve", "B")


def test_json(plain, env):
    def lines(*args):
        done = plain("--json", "env", *args)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    assert lines("set", "A=1")["set"] == 1
    assert lines("list") == [{"name": "A", "scope": "resource", "target": "all", "secret": False, "value": "1"}]
    assert lines("resolve")["vars"]["A"]["value"] == "1"
    assert lines("unset", "A") == {"removed": 1}


def test_a_process_finds_it(plain, env):
    env("set", "SEEN=by exec")
    env("set", "--target", "agent", "SEEN=by agent")
    assert plain("exec", "sh", "-c", "echo $SEEN").stdout == b"by exec\n"
    assert plain("exec", "--target", "agent", "sh", "-c", "echo $SEEN").stdout == b"by agent\n"


def test_what_a_guest_says_does_not_move_the_cursor(env):
    env("set", "A=\x1b[2J")
    assert "\x1b" not in env("list") and "\\x1b" in env("list")


@pytest.mark.parametrize("args", [
    [], ["nothing"], ["set"], ["unset"], ["list", "A"], ["set", "--nope", "A=1"], ["unset", "--secret", "A"],
    ["list", "--replace"], ["resolve", "--scope", "tenant"], ["set", "--reveal", "A=1"], ["set", "--scope"]], ids=str)
def test_usage(env, args):
    assert "usage: guestctl env" in env(*args, status=USAGE)


def test_the_agents_errors(env):
    assert "bad_params" in env("set", "1A=x", status=1) or "letters" in env("set", "1A=x", status=1)
    assert "scope" in env("set", "--scope", "galaxy", "A=1", status=1)


@pytest.mark.local
def test_a_large_value(env, client, tmp_path):
    (tmp_path / "f").write_bytes(os.urandom(300_000).replace(b"\0", b"x") + b"x")
    env("set", f"A=@{tmp_path / 'f'}")
    got = stored(client)["A"]
    assert (got if isinstance(got, bytes) else got.encode()) == (tmp_path / "f").read_bytes()
