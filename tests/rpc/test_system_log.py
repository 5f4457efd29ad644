"""system.log: the agent's own lines, and who changed what."""

import pytest

from support import error_of, rounds, unique

LEVELS = {"error", "warn", "info", "debug"}


def lines(client, **params):
    """The lines of a call that does not follow."""
    call = client.open("system.log", params)
    result = call.wait()
    assert {e["type"] for e in call.events} <= {"line"}
    for line in call.events:
        assert line["level"] in LEVELS and type(line["time_us"]) is int and type(line["text"]) is str
        assert type(line["audit"]) is bool
    assert result == {"lines": len(call.events)}
    return call.events


def audited(client, mark):
    return [line["text"] for line in lines(client, tail=1000) if line["audit"] and mark in line["text"]]


@pytest.mark.local
def test_it_holds_what_was_logged(guestd):
    daemon = guestd()
    with daemon.connect() as c:
        got = [f"guestd: {line['level']} {line['text']}" for line in lines(c) if not line["audit"]]
    assert got == daemon.log().splitlines() and any("main: ready" in line for line in got)


@pytest.mark.local
def test_the_level_is_that_of_the_log(guestd):
    with guestd("--log-level", "debug").connect() as c:
        error_of(c.call, "fs.stat", {"path": "/no/such/file"})
        assert any(line["level"] == "debug" for line in lines(c))
    with guestd("--log-level", "error").connect() as c:
        c.call("fs.mkdir", {"path": "/"})
        assert [line["audit"] for line in lines(c)] == [True]


def test_tail(client):
    for i in range(20):
        client.call("env.unset", {"names": [f"TAIL{i}"]})
    assert [line["text"].rsplit("=", 1)[1] for line in lines(client, tail=5)] == [f"TAIL{i}" for i in range(15, 20)]
    assert lines(client, tail=0) == []
    assert len(lines(client)) <= 100
    stamps = [(line["seq"], line["time_us"]) for line in lines(client, tail=1 << 40)]
    assert [s for s, _ in stamps] == list(range(stamps[0][0], stamps[0][0] + len(stamps)))


def test_it_is_bounded(client, frugal):
    names = [f"BOUND{'X' * 60}{i}" for i in range(12)]
    for _ in range(rounds(3000)):
        client.request("env.unset", {"names": names})
    client.call("system.ping")
    assert len(lines(client, tail=1 << 40)) <= 1024


def test_follow(agent, client):
    mark = unique("follow")
    client.call("fs.delete", {"path": f"/{mark}-0", "missing_ok": True})
    call = client.open("system.log", {"tail": 1, "follow": True})
    call.pump(lambda: call.events, what="the tail")
    assert mark in call.events[0]["text"]
    with agent.connect() as other:
        for i in range(1, 50):
            other.call("fs.delete", {"path": f"/{mark}-{i}", "missing_ok": True})
    call.pump(lambda: len([e for e in call.events if mark in e["text"]]) == 50)
    got = [e["text"] for e in call.events if mark in e["text"]]
    assert [g.rsplit("-", 1)[1] for g in got] == [str(i) for i in range(50)]
    call.cancel()
    assert error_of(call.wait).code == "canceled"


def test_follow_from_now(client):
    call = client.open("system.log", {"tail": 0, "follow": True})
    client.call("env.unset", {"names": ["NOW"]})
    call.pump(lambda: call.events)
    assert call.events[0]["text"].endswith("names=NOW")
    call.cancel()


def test_who_follows_too_slowly_is_told(agent, client):
    """Nothing is queued for it, and nobody waits."""
    with agent.connect() as slow:
        follower = slow.open("system.log", {"tail": 0, "follow": True})
        slow.call("system.ping")
        # Responses that it does not read fill its queue, so that lines find no room.
        for _ in range(3):
            slow.request("proc.run", {"cmd": "head -c 900000 /dev/zero", "max_output": 1 << 20})
        names = [f"SLOW{'X' * 80}{i}" for i in range(8)]
        for _ in range(60):
            calls = [client.open("env.unset", {"names": names}) for _ in range(100)]
            for call in calls:
                call.wait()
        follower.pump(lambda: any(e["type"] == "gap" for e in follower.events), what="a gap")
        last = 0
        for event in follower.events:
            if event["type"] == "gap":
                last += event["lost"]
            else:
                assert not last or event["seq"] == last + 1
                last = event["seq"]


def test_clients_that_leave(agent, client, frugal):
    for _ in range(20):
        with agent.connect() as c:
            for _ in range(5):
                c.request("system.log", {"follow": True})
            c.call("system.ping")
    client.call("env.unset", {"names": ["LEFT"]})


# -- audit ---------------------------------------------------------------------------------------

def test_what_changes_something_is_audited(client, guest_dir):
    mark = unique("audit")
    value = unique("value")
    client.call("fs.put", {"path": f"{guest_dir}/{mark}", "data": value.encode()})
    client.call("fs.move", {"from": f"{guest_dir}/{mark}", "to": f"{guest_dir}/{mark}-2"})
    client.call("proc.run", {"argv": ["true", value], "id": mark, "env": {"V": value}, "input": value.encode()})
    client.call("proc.run", {"cmd": f": {value}", "id": f"{mark}-cmd", "user": "0"})
    client.call("env.set", {"vars": {f"N{mark.replace('-', '_')}": value}, "scope": "tenant"})
    client.call("env.unset", {"names": [f"N{mark.replace('-', '_')}"], "scope": "tenant"})
    client.call("fs.stat", {"path": f"{guest_dir}/{mark}-2"})
    got = [text.split() for text in audited(client, mark.split("-")[1])]
    said = [[words[0], *(w for w in words[1:] if not w.startswith(("conn=", "call=")))] for words in got]
    name = f"N{mark.replace('-', '_')}"
    assert said == [
        ["fs.put", f"path={guest_dir}/{mark}"],
        ["fs.move", f"from={guest_dir}/{mark}", f"to={guest_dir}/{mark}-2"],
        ["proc.run", "program=true", f"id={mark}"],
        ["proc.run", "user=0", f"id={mark}-cmd"],
        ["env.set", "scope=tenant", "target=all", f"vars={name}"],
        ["env.unset", "scope=tenant", "target=all", f"names={name}"]]
    assert not any(value in line["text"] for line in lines(client, tail=1000))
    assert all(words[1].startswith("conn=") for words in got)


def test_the_connection_tells_who(agent, client):
    mark = unique("who")
    with agent.connect() as other:
        for c in (client, other, client):
            c.call("fs.delete", {"path": f"/{mark}", "missing_ok": True})
    first, second, third = (text.split()[1] for text in audited(client, mark))
    assert first == third != second


def test_a_line_is_one_line(client):
    mark = unique("line")
    client.call("fs.delete", {"path": f"/{mark}\n\x1b[31m \xff" + "x" * 150, "missing_ok": True})
    client.call("fs.delete", {"path": f"/{mark}".encode() + b"\xff\xfe", "missing_ok": True})
    client.call("env.unset", {"names": [f"A{i}{'x' * 200}" for i in range(100)]})
    for line in lines(client, tail=3):
        assert line["text"].isprintable() and len(line["text"].encode()) <= 900, line


def test_what_only_looks_is_not(client):
    mark = unique("look")
    for method in ("fs.stat", "fs.list", "fs.read", "fs.hash"):
        error_of(client.call, method, {"path": f"/{mark}"})
    client.call("fs.exists", {"path": f"/{mark}"})
    assert audited(client, mark) == []


def test_every_method_that_changes_says_so(client):
    """What begins with these words changes something; whoever adds one has to say so, or to say it here."""
    looks = {"hello", "env.list", "env.resolve", "fs.exists", "fs.find", "fs.get", "fs.grep", "fs.hash", "fs.list",
             "fs.read", "fs.readlink", "fs.stat", "fs.tree", "fs.usage", "fs.watch", "net.ports", "net.wait", "net.watch",
             "proc.attach", "proc.list", "proc.logs", "proc.wait", "system.activity", "system.events", "system.info",
             "system.log", "system.methods", "system.metrics", "system.ping", "tar.export", "tar.manifest"}
    for method in client.call("system.methods"):
        assert method["changes"] is (method["name"] not in looks), method["name"]
