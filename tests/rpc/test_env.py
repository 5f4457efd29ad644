"""env.*: layers of variables, and what a process gets of them."""

import itertools
import os
import random
import shutil
import tempfile

import pytest

from client import RpcError
from support import ROOT, error_of, unique

SCOPES = ["tenant", "workspace", "project", "resource"]
TARGETS = ["all", "sandbox", "computer", "agent"]
SLOTS = list(itertools.product(SCOPES, TARGETS))
MASK = None
ABSENT = "absent"


@pytest.fixture
def clean(agent, client):
    """The client, with an empty store before and after."""
    def empty():
        with agent.connect() as c:
            for scope, target in SLOTS:
                c.call("env.set", {"scope": scope, "target": target, "vars": {}, "replace": True})
    empty()
    yield client
    empty()


def layer(scope="resource", target="all", **more):
    return {"scope": scope, "target": target, **more}


def listed(client, **params):
    return {(v["name"], v["scope"], v["target"]): v for v in client.call("env.list", params)}


def printed(client, method="proc.run", **spawn):
    """What a process really finds."""
    spawn = {"argv": ["env"], "max_output": 8 << 20, **spawn}
    out = client.call("proc.run", spawn)["stdout"].decode("utf-8", "surrogateescape")
    return dict(line.split("=", 1) for line in out.splitlines())


# -- the truth table -----------------------------------------------------------------------------

def cases():
    """name: ({slot: value or MASK}, run value, MASK or ABSENT): every slot alone, every two of them, and many at
    random."""
    table, dice = {}, random.Random(1)

    def add(slots, run):
        table[f"V{len(table)}"] = (slots, run)

    runs = [ABSENT, "run", MASK]
    for run in runs:
        add({}, run)
        for n in (1, 2):
            for chosen in itertools.combinations(SLOTS, n):
                for values in itertools.product(["-".join, lambda slot: MASK], repeat=n):
                    add({slot: value(slot) for slot, value in zip(chosen, values)}, run)
    for _ in range(300):
        add({slot: dice.choice(["-".join(slot), "-".join(slot), MASK])
             for slot in dice.sample(SLOTS, dice.randint(3, 16))}, dice.choice(runs))
    return table


def rule(slots, run, kind, target):
    """(value, scope, target) that decides, or None: section by section, the later wins."""
    order = ["all", kind] + (["agent"] if target == "agent" else [])
    best = None
    for slot in itertools.product(SCOPES, order):
        if slot in slots:
            best = slots[slot] and (slots[slot], *slot)
    if run != ABSENT:
        best = run and (run, "run", target)
    return best


def lay_down(client, table):
    for slot in SLOTS:
        client.call("env.set", layer(*slot, replace=True, vars={
            name: slots[slot] for name, (slots, _) in table.items() if slot in slots}))


def check_table(client, kind):
    table = cases()
    lay_down(client, table)
    env = {name: run for name, (_, run) in table.items() if run != ABSENT}
    for target in (kind, "agent"):
        want = {name: found for name, (slots, run) in table.items()
                if (found := rule(slots, run, kind, target))}
        got = client.call("env.resolve", {"target": target, "env": env})["vars"]
        assert {n: (v["value"], v["scope"], v["target"]) for n, v in got.items()} == want
        assert not any(v["secret"] for v in got.values())
        spawned = printed(client, target=target, env=env)
        assert {n: v for n, v in spawned.items() if n in table} == {n: v[0] for n, v in want.items()}
        assert len(want) > 500
    assert client.call("env.resolve", {"env": env}) == client.call("env.resolve", {"env": env, "target": kind})


def test_the_truth_table_of_this_guest(clean):
    check_table(clean, clean.call("system.info")["kind"])


@pytest.mark.local
@pytest.mark.parametrize("kind", ["sandbox", "computer"])
def test_the_truth_table_of_both_kinds(guestd, kind):
    with guestd("--kind", kind).connect() as c:
        assert c.hello()["kind"] == kind
        check_table(c, kind)


@pytest.mark.local
@pytest.mark.parametrize("kind, other", [("sandbox", "computer"), ("computer", "sandbox")])
def test_a_target_of_the_other_kind(guestd, kind, other):
    with guestd("--kind", kind).connect() as c:
        for method, params in (("env.resolve", {}), ("proc.run", {"argv": ["true"]}), ("proc.exec", {"argv": ["true"]}),
                               ("proc.start", {"argv": ["true"]}), ("pty.open", {})):
            for target in (other, "all", "", "nobody"):
                assert error_of(c.call, method, {**params, "target": target}).code == "bad_params"
        c.call("env.set", layer("tenant", other, vars={"A": "1"}))
        assert c.call("env.resolve")["vars"] == {}


@pytest.mark.local
def test_a_kind_that_there_is_not(guestd):
    daemon = guestd("--kind", "toaster", wait=False)
    assert daemon.proc.wait(20) == 2 and "toaster" in daemon.log()
    daemon.proc.returncode = 0


# -- every way to start a process ----------------------------------------------------------------

def test_every_spawn_resolves(clean, start):
    clean.call("env.set", layer(vars={"LAYERED": "yes"}))
    clean.call("env.set", layer(target="agent", vars={"LAYERED": "agent"}))
    for target, want in ((None, b"yes"), ("agent", b"agent")):
        spawn = {"cmd": 'printf %s "$LAYERED"', "target": target}
        call = clean.open("proc.exec", spawn)
        call.wait()
        assert bytes(call.stdout) == want
        assert clean.call("proc.run", spawn)["stdout"] == want
        info = start(**spawn)
        clean.call("proc.wait", {"id": info["id"]})
        assert clean.call("proc.logs", {"id": info["id"]})["text"] == want
        call = clean.open("pty.open", spawn)
        call.wait()
        assert bytes(call.stdout) == want


def test_a_value_is_there_from_its_call_on(agent, clean):
    """Also for a request right behind it, and not for what runs already."""
    clean.call("env.set", layer(vars={"N": "0"}))
    old = clean.open("proc.exec", {"cmd": "read x; printf %s $N", "stdin": True})
    old.event("started")
    ids = []
    for n in range(1, 20):
        ids.append((clean.open("env.set", layer(vars={"N": str(n)})),
                    clean.open("proc.run", {"cmd": "printf %s $N"})))
    for n, (put, run) in enumerate(ids, 1):
        assert put.wait()["set"] == 1 and run.wait()["stdout"] == str(n).encode()
    old.write(b"\n")
    old.wait()
    assert bytes(old.stdout) == b"0"


def test_the_base_is_weaker_than_every_scope(clean):
    base = printed(clean)
    clean.call("env.set", layer("tenant", vars={"HOME": "/elsewhere", "USER": None, "LOGNAME": None}))
    got = printed(clean)
    assert got["HOME"] == "/elsewhere" and not {"USER", "LOGNAME"} & set(got)
    assert got == {**{n: v for n, v in base.items() if n not in ("USER", "LOGNAME")}, "HOME": "/elsewhere"}
    assert printed(clean, env={"USER": "run"})["USER"] == "run"
    # Where to run is not asked of it, but of the user's entry.
    assert clean.call("proc.run", {"cmd": "pwd"})["code"] == 0


def test_path_of_a_layer_finds_the_program(clean, guest_dir):
    clean.call("proc.run", {"cmd": f"printf '#!/bin/sh\\necho found' >{guest_dir}/layered-prog; "
                                   f"chmod 755 {guest_dir}/layered-prog"})
    clean.call("env.set", layer(vars={"PATH": f"{'/no/such:' * 500}{guest_dir}:/usr/bin:/bin"}))
    assert clean.call("proc.run", {"argv": ["layered-prog"]})["stdout"] == b"found\n"
    clean.call("env.set", layer(vars={"PATH": "/no/such"}))
    assert error_of(clean.call, "proc.run", {"argv": ["layered-prog"]}).code == "ENOENT"
    clean.call("env.set", layer(vars={"PATH": None}))
    assert error_of(clean.call, "proc.run", {"argv": ["layered-prog"]}).code == "ENOENT"
    assert clean.call("proc.run", {"argv": ["true"]})["code"] == 0


VALUES = ["", " ", "a=b=c", "two\nlines\n", "\t", "'\"$HOME`x`\\", "ä€😀", b"\xff\xfe\x01\x80", "x" * 100_000,
          "{{placeholder:7f3a}}"]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: repr(v)[:20])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_the_bytes_are_exact(clean, value, as_bytes):
    raw = value if isinstance(value, bytes) else value.encode()
    clean.call("env.set", layer(vars={"V": raw if as_bytes else value}))
    assert clean.call("proc.run", {"cmd": 'printf "%s" "$V"'})["stdout"] == raw
    for got in (listed(clean)["V", "resource", "all"], clean.call("env.resolve")["vars"]["V"]):
        assert got["value"] == value


# -- set, unset, list ----------------------------------------------------------------------------

def test_defaults(clean):
    assert clean.call("env.set", {"vars": {"A": "1", "B": None}})["set"] == 1
    assert set(listed(clean)) == {("A", "resource", "all"), ("B", "resource", "all")}
    assert clean.call("env.unset", {"names": ["A"]}) == {"removed": 1}
    assert set(listed(clean)) == {("B", "resource", "all")}


def test_counts(clean):
    result = clean.call("env.set", layer(vars={"A": "1", "B": "2", "C": None}))
    assert (result["set"], result["unset"]) == (2, 1)
    assert clean.call("env.unset", layer(names=["A", "C", "Z", "A"])) == {"removed": 2}
    assert clean.call("env.unset", layer(names=[])) == {"removed": 0}
    assert clean.call("env.set", layer(vars={}))["set"] == 0


def test_replace_is_one_step(clean):
    clean.call("env.set", layer(vars={"A": "1", "B": "2"}))
    clean.call("env.set", layer("project", vars={"A": "far"}))
    clean.call("env.set", layer(target="agent", vars={"A": "near"}))
    clean.call("env.set", layer(vars={"B": "3", "C": None}, replace=True))
    assert {k: v.get("value") for k, v in listed(clean).items()} == {
        ("A", "project", "all"): "far", ("A", "resource", "agent"): "near",
        ("B", "resource", "all"): "3", ("C", "resource", "all"): None}
    # A bad one among them: nothing happens.
    assert error_of(clean.call, "env.set", layer(vars={"D": "4", "1x": ""}, replace=True)).code == "bad_params"
    assert ("B", "resource", "all") in listed(clean)


def test_list_filters_and_fields(clean):
    for slot in SLOTS:
        clean.call("env.set", layer(*slot, vars={"A": "-".join(slot)}))
    assert set(listed(clean)) == {("A", *slot) for slot in SLOTS}
    assert set(listed(clean, scope="project")) == {("A", "project", t) for t in TARGETS}
    assert set(listed(clean, target="agent")) == {("A", s, "agent") for s in SCOPES}
    assert listed(clean, scope="tenant", target="all") == {
        ("A", "tenant", "all"): {"name": "A", "scope": "tenant", "target": "all", "secret": False, "value": "tenant-all"}}
    clean.call("env.set", layer(vars={"A": None}))
    assert listed(clean, scope="resource", target="all")["A", "resource", "all"] == {
        "name": "A", "scope": "resource", "target": "all", "secret": False, "masked": True}


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A=", "ä", "A B", "A\n", b"\xff", "A\0"], ids=repr)
def test_names(clean, name):
    for method, params in (("env.set", {"vars": {name: "x"}}), ("env.unset", {"names": [name]})):
        assert error_of(clean.call, method, params).code == "bad_params"
    assert clean.call("env.list") == []


@pytest.mark.parametrize("params", [
    {}, {"vars": {"A": 1}}, {"vars": {"A": "x\0y"}}, {"vars": [["A", "x"]]}, {"vars": {"A": "x"}, "scope": "run"},
    {"vars": {"A": "x"}, "target": "both"}, {"vars": {"A": "x"}, "scoop": "tenant"}], ids=repr)
def test_bad_params_of_set(clean, params):
    assert error_of(clean.call, "env.set", params).code == "bad_params"
    assert clean.call("env.list") == []


def test_bad_params_of_the_others(clean):
    for method, params in (("env.unset", {}), ("env.unset", {"names": "A"}), ("env.list", {"scope": "run"}),
                           ("env.list", {"target": ""}), ("env.resolve", {"env": {"A=B": "x"}})):
        assert error_of(clean.call, method, params).code == "bad_params"


def test_the_store_is_bounded(clean):
    limits = clean.hello()["limits"]
    assert limits["max_env"] == 1 << 20
    for i in range(10):
        clean.call("env.set", layer("tenant", vars={f"A{i}": "x" * 100_000}))
    e = error_of(clean.call, "env.set", layer("project", vars={"SMALL": "1", "B": "x" * 100_000}))
    assert e.code == "limit" and "max_env" in e.message
    assert len(clean.call("env.list", {"scope": "project"})) == 0
    # What is replaced makes room for what replaces it.
    clean.call("env.set", layer("tenant", vars={f"A{i}": "y" * 100_000 for i in range(10)}))
    clean.call("env.set", layer("tenant", vars={"A": "x" * 1_000_000}, replace=True))
    assert clean.call("env.unset", layer("tenant", names=["A"])) == {"removed": 1}
    many = {f"N{i}": "" for i in range(limits["max_env_vars"])}
    assert clean.call("env.set", layer(vars=many))["set"] == len(many)
    assert error_of(clean.call, "env.set", layer(vars={"M": None})).code == "limit"
    assert printed(clean)["N7"] == ""


def test_a_value_that_no_process_takes_is_the_spawns_error(clean):
    """The kernel's bound for one variable is 128 KiB."""
    clean.call("env.set", layer(vars={"HUGE": "x" * 200_000}))
    e = error_of(clean.call, "proc.run", {"argv": ["true"]})
    assert (e.code, e.stage) == ("E2BIG", "exec")
    assert clean.call("proc.run", {"argv": ["true"], "env": {"HUGE": None}})["code"] == 0


# -- secrets -------------------------------------------------------------------------------------

def test_secrets_are_shown_on_demand_alone(clean):
    clean.call("env.set", layer(vars={"S": "hush"}, secret=True))
    clean.call("env.set", layer("tenant", vars={"S": "open"}))
    shown = {"name": "S", "scope": "resource", "target": "all", "secret": True}
    assert listed(clean)["S", "resource", "all"] == shown
    assert listed(clean)["S", "tenant", "all"]["value"] == "open"
    assert listed(clean, reveal=True)["S", "resource", "all"] == {**shown, "value": "hush"}
    assert clean.call("env.resolve")["vars"]["S"] == {"scope": "resource", "target": "all", "secret": True}
    assert clean.call("env.resolve", {"reveal": True})["vars"]["S"]["value"] == "hush"
    assert clean.call("env.resolve", {"env": {"S": "mine"}})["vars"]["S"]["value"] == "mine"
    assert printed(clean)["S"] == "hush"
    clean.call("env.set", layer(vars={"S": "plain"}))       # said anew without `secret`: none any more
    assert clean.call("env.resolve")["vars"]["S"] == {"value": "plain", "scope": "resource", "target": "all",
                                                      "secret": False}


def memory_of(pid):
    """All that the process has mapped and may be read."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            place, rights = line.split()[:2]
            low, high = (int(x, 16) for x in place.split("-"))
            if "r" in rights and not line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                try:
                    mem.seek(low)
                    yield mem.read(high - low)
                except OSError:
                    pass


def shipped(command):
    """The binary as it is shipped: the runtime of a sanitizer has copies of its own."""
    return [str(ROOT / "build" / "guestd"), *command[1:]]


def holds(pid, needle):
    return sum(block.count(needle) for block in memory_of(pid))


@pytest.mark.local
@pytest.mark.parametrize("size", [100, 5000, 400_000])
def test_what_is_removed_is_gone_from_memory(guestd, size):
    """From the store, from what was received and sent, and from what was made for a process."""
    daemon = guestd("--log-level", "debug", wrap=shipped)
    secret = unique("very-secret").encode()
    with daemon.connect() as c:
        c.hello()
        c.call("env.set", layer(vars={"S": secret * (size // len(secret))}, secret=True))
        assert holds(daemon.pid, secret) >= 1
        c.call("env.list", {"reveal": True})
        c.call("env.resolve", {"reveal": True, "env": {"RUN": secret}})
        if size < 100_000:
            # It must not print it: output is kept.
            assert c.call("proc.run", {"cmd": 'test "$S" && test "$RUN"', "env": {"RUN": secret}})["code"] == 0
            c.call("proc.remove", {"id": c.call("proc.list")[0]["id"]})
        c.call("env.unset", layer(names=["S"]))
        c.call("system.ping")
        assert holds(daemon.pid, secret) == 0
        assert secret.decode() not in daemon.log()


@pytest.mark.local
def test_nobody_reads_the_agents_memory(request, guestd):
    """Not dumpable: /proc/PID belongs to root, whoever the agent is, and there are no core dumps."""
    if os.geteuid():
        daemon = guestd()
    else:
        home = tempfile.mkdtemp(prefix="guestd-nobody-")
        os.chown(home, 65534, 65534)
        request.addfinalizer(lambda: shutil.rmtree(home))
        daemon = guestd(directory=home, user=65534, group=65534, extra_groups=[])
    with daemon.connect() as c:
        assert c.call("proc.run", {"argv": ["sh", "-c", f"cat /proc/{daemon.pid}/environ"]})["code"] != 0
    assert os.stat(f"/proc/{daemon.pid}/environ").st_uid == 0


def test_values_are_in_no_log_and_no_argv(agent, clean):
    secret = unique("not-for-logs")
    clean.call("env.set", layer(vars={"S": secret}, secret=True))
    clean.call("env.set", layer(vars={"T": secret}))
    clean.call("proc.run", {"argv": ["true"], "env": {"R": secret}})
    error_of(clean.call, "env.set", layer(vars={"1": secret}))
    call = clean.open("system.log", {"tail": 1000})
    call.wait()
    assert not any(secret in line["text"] for line in call.events)
    assert secret not in str(clean.call("proc.list", {"all": True}))
    if agent.pid:
        assert secret not in agent.log()
        assert secret not in open(f"/proc/{agent.pid}/cmdline").read()


def test_many_changes_do_not_make_it_grow(clean, frugal):
    for i in range(300):
        clean.call("env.set", layer(vars={f"V{k}": "x" * 1000 for k in range(50)}, replace=i % 2 == 0))
    clean.call("env.set", layer(vars={}, replace=True))
    assert clean.call("env.list") == []


def test_two_clients(agent, clean):
    with agent.connect() as other:
        other.call("env.set", layer(vars={"A": "theirs"}))
    assert listed(clean)["A", "resource", "all"]["value"] == "theirs"


def test_a_list_too_long_for_the_frame_is_a_limit(agent, clean):
    clean.call("env.set", layer(vars={"A": "x" * 5000}))
    with agent.connect() as c:
        c.hello(max_frame=2048)
        assert error_of(c.call, "env.list").code == "limit"
        assert c.call("env.list", {"scope": "tenant"}) == []
    with pytest.raises(RpcError):
        clean.call("env.list", {"scope": 7})
