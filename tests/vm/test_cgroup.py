"""Cgroups: limits, who dies of them, who is found and killed, and what is left behind.

The guest is one for this module: what its kernel says of processes that it kills would be trouble for
the others. "Own cgroup" below is that of the process that asks, which is alone in it.
"""

import contextlib

import pytest

from client import RpcError, connect
from support import error_of, eventually
from vm import VM

MIB = 1 << 20
ROOT = "/sys/fs/cgroup"

# Commands for the guest's shell.
OWN = f"{ROOT}$(sed -n s/^0:://p /proc/self/cgroup)"
EAT = "tail /dev/zero"  # tail looks for the end of a line, in ever more memory


@pytest.fixture(scope="module")
def box(guest):
    """A guest whose kernel may complain."""
    with VM() as vm:
        yield type(guest)(vm)


@pytest.fixture
def client(box):
    with box.connect() as client:
        yield client


def run(client, cmd, **spawn):
    """The result of a shell command, with its output as text."""
    done = client.call("proc.run", {"cmd": cmd, **spawn})
    return {**done, "stdout": done["stdout"].decode(), "stderr": done["stderr"].decode()}


def output(client, cmd, **spawn):
    done = run(client, cmd, **spawn)
    assert done["code"] == 0, done
    return done["stdout"].strip()


def is_alive(client, pid):
    """Whether that process of the guest exists and is no zombie."""
    stat = run(client, f"cat /proc/{pid}/stat")["stdout"]
    return bool(stat) and stat.rpartition(")")[2].split()[0] not in "ZX"


def directories(client, base=f"{ROOT}/guestd.1"):
    """The cgroups below that of the agent, with all below them."""
    # One may go while find looks at it.
    return set(output(client, f"cd {base} && find . -type d 2>/dev/null || true").split()) - {"."}


def last_line(client, path):
    """The last line of a file as soon as there is one."""
    return eventually(lambda: run(client, f"tail -n 1 {path}")["stdout"].strip(), f"a line in {path}")


@pytest.fixture
def scratch(client):
    """A directory of the guest."""
    path = output(client, "mktemp -d")
    yield path
    output(client, f"rm -r {path}")


# -- memory --------------------------------------------------------------------------------------

def test_what_is_over_its_memory_is_killed_and_says_so(client):
    done = run(client, f"exec {EAT}", limits={"memory": 16 * MIB})
    assert (done["code"], done["signal"], done["oom_killed"]) == (None, 9, True)
    assert done["max_rss"] < 32 * MIB


def test_a_child_that_is_killed_for_memory_is_told_with_its_parent(client):
    done = run(client, f"{EAT}; echo $?; exit 3", limits={"memory": 16 * MIB})
    assert (done["code"], done["signal"], done["oom_killed"]) == (3, None, True)
    assert done["stdout"] == "137\n"


def test_what_is_killed_by_hand_was_not_out_of_memory(client):
    call = client.open("proc.exec", {"argv": ["sleep", "600"], "limits": {"memory": 16 * MIB}})
    pid = call.event("started")["pid"]
    client.call("proc.signal", {"pid": pid, "signal": "KILL"})
    done = call.wait()
    assert (done["signal"], done["oom_killed"]) == (9, False)


def test_one_process_out_of_memory_is_no_other_s(client):
    hog = client.open("proc.exec", {"cmd": f"exec {EAT}", "limits": {"memory": 16 * MIB}})
    other = client.open("proc.exec", {"cmd": "sleep 1", "limits": {"memory": 16 * MIB}})
    assert hog.wait()["oom_killed"] is True
    assert other.wait()["oom_killed"] is False


def test_the_limits_are_those_of_the_kernel(client):
    limits = {"memory": 20 * MIB, "pids": 17, "cpu_ms_per_s": 1500}
    files = "memory.max memory.swap.max pids.max cpu.max"
    script = f"cd {OWN}; for f in {files}; do [ ! -e $f ] || cat $f; done"
    values = output(client, script, limits=limits).splitlines()
    assert values[0] == str(20 * MIB) and values[-2:] == ["17", "150000 100000"]
    assert values[1:-2] in ([], ["0"]), "nothing goes to swap"


def test_little_of_a_processor_has_a_long_period(client):
    pid = client.call("proc.start", {"argv": ["sleep", "600"], "id": "slow", "limits": {"cpu_ms_per_s": 9}})["pid"]
    # Asked by one that has the processor to itself.
    assert output(client, f"cat {ROOT}$(sed -n s/^0:://p /proc/{pid}/cgroup)/cpu.max") == "9000 1000000"
    client.call("proc.signal", {"id": "slow", "signal": "KILL"})


@pytest.mark.parametrize("limits", [{"memory": 1 << 52}, {"pids": 1 << 52}, {"cpu_ms_per_s": 1 << 52}])
def test_a_limit_beyond_all_there_is_limits_nothing(client, limits):
    assert output(client, "echo fine", limits=limits) == "fine"


def test_system_events_tell_of_it(client):
    events = client.open("system.events", {})
    done = run(client, f"exec {EAT}", id="hog", limits={"memory": 16 * MIB})
    event = events.event("oom_kill")
    assert (event["id"], event["pid"]) == ("hog", done["pid"])
    assert event["seq"] > 0
    events.cancel()


# -- pids and cpu --------------------------------------------------------------------------------

def test_too_many_processes_fail_in_the_guest_alone(client):
    bomb = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 600 & done; echo made"
    done = run(client, bomb, limits={"pids": 5})
    assert "made" not in done["stdout"] and "fork" in done["stderr"], done
    assert output(client, "echo fine") == "fine"


def test_cpu_time_is_held_back(client):
    look = f"c={OWN}/cpu.stat; look() {{ while read k v; do [ $k != nr_throttled ] || n=$v; done <$c; }}; look"
    work = "while [ $n = 0 ]; do look; done"
    assert int(output(client, f"{look}; {work}; echo $n", limits={"cpu_ms_per_s": 50})) > 0
    assert int(output(client, f"{look}; echo $n")) == 0


# -- who is found --------------------------------------------------------------------------------

# Each writes the pid of a process that no session, group or parent leads to, and that ignores TERM.
RUNAWAY = "trap '' TERM; echo $$ >$0; while :; do sleep 1; done"
HIDDEN = f"setsid sh -c 'setsid sh -c \"$RUNAWAY\" {{path}} & exit' & wait; echo gone"


def hide(client, method, path, **spawn):
    """Starts one, whose leader then waits."""
    spawn = {"cmd": HIDDEN.format(path=path) + "; exec sleep 600", "env": {"RUNAWAY": RUNAWAY}, **spawn}
    if method == "proc.exec":
        call = client.open(method, spawn)
        call.event("started")
    else:
        call = client.call(method, spawn)
    return call, int(last_line(client, path))


def test_stop_finds_who_left_session_group_and_parent(client, scratch):
    info, pid = hide(client, "proc.start", f"{scratch}/pid", id="stop-me")
    parent = output(client, f"cut -d' ' -f4 /proc/{pid}/stat")
    assert int(parent) != info["pid"], "it has not left its parent"
    done = client.call("proc.stop", {"id": "stop-me", "grace_ms": 200})
    assert done["signal"] == 15, "its leader heard TERM"
    assert not is_alive(client, pid)


def test_a_cancel_finds_it_too(client, scratch):
    call, pid = hide(client, "proc.exec", f"{scratch}/pid", grace_ms=200)
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    assert not is_alive(client, pid)


def test_a_stop_after_the_leader_s_end_finds_it(client, scratch):
    """The pipe that it holds keeps the process running, as far as anybody is told."""
    client.call("proc.start", {"cmd": HIDDEN.format(path=f"{scratch}/pid"), "env": {"RUNAWAY": RUNAWAY},
                               "id": "left", "grace_ms": 200})
    pid = int(last_line(client, f"{scratch}/pid"))
    with contextlib.suppress(TimeoutError):
        client.call("proc.wait", {"id": "left", "timeout_ms": 5000})
    client.call("proc.stop", {"id": "left", "grace_ms": 200})
    assert not is_alive(client, pid)


def test_who_hides_in_a_cgroup_of_its_own_is_found(client, scratch):
    """As a container engine would: cgroups below its own, and processes in them."""
    before = directories(client)
    deep, flat = "a/b/c/cgroup.procs", "d/cgroup.procs"
    nest = (f"cd {OWN} && mkdir -p a/b/c d; trap '' TERM;"
            f" (echo 0 >{deep}; exec sleep 600) & (echo 0 >{flat}; exec sleep 601) &"
            f" until grep -q . {deep} && grep -q . {flat}; do sleep 0.1; done;"
            f" cat {deep} {flat} >{scratch}/pids; exec sleep 602")
    client.call("proc.start", {"cmd": nest, "id": "nested"})
    last_line(client, f"{scratch}/pids")
    pids = [int(pid) for pid in output(client, f"cat {scratch}/pids").split()]
    assert len(pids) == 2
    listed = {p["pid"]: p.get("id") for p in client.call("proc.list", {"all": True})}
    assert [listed[pid] for pid in pids] == ["nested"] * 2
    client.call("proc.stop", {"id": "nested", "grace_ms": 200})
    assert not any(is_alive(client, pid) for pid in pids)
    eventually(lambda: len(directories(client)) <= len(before) + 1, "what it made is removed")


def test_a_signal_to_the_tree_reaches_all(client, scratch):
    info, pid = hide(client, "proc.start", f"{scratch}/pid", id="signal-me")
    client.call("proc.signal", {"id": "signal-me", "signal": "KILL", "scope": "tree"})
    eventually(lambda: not is_alive(client, pid), "it is dead")
    assert client.call("proc.wait", {"id": "signal-me"})["signal"] == 9


def test_who_froze_itself_is_killed(client):
    call = client.open("proc.exec", {"cmd": f"echo 1 >{OWN}/cgroup.freeze; exit 4", "grace_ms": 200})
    pid = call.event("started")["pid"]
    eventually(lambda: "frozen 1" in run(client, f"cat {ROOT}$(sed -n s/^0:://p /proc/{pid}/cgroup)"
                                         "/cgroup.events")["stdout"], "it is frozen")
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    assert not is_alive(client, pid)
    assert output(client, "echo fine") == "fine"


# -- what is left --------------------------------------------------------------------------------

def test_one_is_used_again(client):
    """By the next process, and only when nobody lives in it."""
    where = f"echo {OWN}"
    first = output(client, where)
    eventually(lambda: output(client, where) == first, "it is used again")
    seen = {output(client, where) for _ in range(10)}
    assert len(seen) <= 2, seen


def test_one_with_limits_is_not(client):
    before = directories(client)
    for _ in range(5):
        path = output(client, f"echo {OWN}", limits={"pids": 10})
        assert output(client, f"cat {OWN}/pids.max") == "max"
    assert len(directories(client)) <= len(before) + 1, path


def test_what_a_process_does_to_its_own_is_not_the_next_one_s(client):
    before = directories(client)
    for _ in range(3):
        output(client, f"echo 7 >{OWN}/pids.max; mkdir {OWN}/below")
    assert [output(client, f"cat {OWN}/pids.max") for _ in range(5)] == ["max"] * 5
    eventually(lambda: len(directories(client)) <= len(before) + 1, "what they made is removed")


def test_a_limit_of_its_own_making_kills_below(client):
    """The root user of a guest divides its own memory further: that is told as well."""
    done = run(client, f"cd {OWN} && mkdir low && echo {16 * MIB} >low/memory.max 2>/dev/null ||"
                       f" {{ mkdir -p top low; echo 0 >top/cgroup.procs; echo +memory >cgroup.subtree_control;"
                       f" echo {16 * MIB} >low/memory.max; }};"
                       f" (echo 0 >low/cgroup.procs; exec {EAT}); echo $?")
    assert done["stdout"] == "137\n" and done["oom_killed"] is True, done
    assert run(client, "exit 0")["oom_killed"] is False


def test_one_in_which_something_lives_on_stays_its_own(client, scratch):
    cmd = f"echo {OWN} >{scratch}/where; setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $!"
    pid = int(output(client, cmd))
    where = last_line(client, f"{scratch}/where")
    assert where not in [output(client, f"echo {OWN}") for _ in range(5)]
    output(client, f"kill -9 {pid}")
    eventually(lambda: "populated 0" in run(client, f"cat {where}/cgroup.events || echo populated 0")["stdout"],
               "it is empty")


def test_many_at_once_leave_few(client):
    """Spare ones are kept only as long as that many are used: in the end, that of `find` and one more."""
    calls = [client.open("proc.exec", {"argv": ["sleep", "1"]}) for _ in range(100)]
    for call in calls:
        assert call.wait()["code"] == 0
    assert len(directories(client)) <= 66
    eventually(lambda: len(directories(client)) <= 2, "the spare ones are gone")


def test_a_limit_that_not_even_the_start_fits_in_is_the_childs_affair(client, second):
    """Until its exec a child shares the agent's memory: what kills it for want of memory would kill both."""
    agent = second()
    with agent.connect() as inner:
        e = error_of(run, inner, "true", limits={"memory": 1})
        assert e.code == "ENOMEM", e
        for limit in (64 << 10, 256 << 10):
            with contextlib.suppress(RpcError):     # however it ends
                run(inner, "true", limits={"memory": limit})
        assert output(inner, "echo works") == "works"
    assert is_alive(client, agent.pid)


# -- where there are none, or not all ------------------------------------------------------------

class Second:
    """Another agent in the same guest, with a cgroup of its own, started as a service manager would."""

    PORT = 2000

    def __init__(self, box, client, *options, cgroup=f"{ROOT}/svc", before="", wrap=""):
        self.client = client
        self.log = "/run/g2.log"
        output(client, f"rm -f {self.log}; mkdir -p {cgroup}")
        info = client.call("proc.start", {"cmd": (
            f"echo $$ >{cgroup}/cgroup.procs; {before} exec {wrap} guestd --listen vsock:{self.PORT}"
            f" --run-dir /run/g2 {' '.join(options)} 2>{self.log}")})
        self.id, self.pid = info["id"], info["pid"]
        # Nothing may connect before it listens (see vm.py).
        eventually(lambda: "ready version" in run(client, f"cat {self.log}")["stdout"], "it is up")
        self.endpoint = f"uds:{box.vm.uds}:{self.PORT}"

    def said(self):
        return output(self.client, f"cat {self.log}")

    def connect(self):
        return connect(self.endpoint)

    def stop(self):
        return self.client.call("proc.stop", {"id": self.id})


@pytest.fixture
def second(box, client):
    started = []

    def start(*options, **kwargs):
        started.append(Second(box, client, *options, **kwargs))
        return started[-1]

    yield start
    for agent in started:
        agent.stop()


def test_a_service_with_a_cgroup_of_its_own_sets_limits(client, second, scratch):
    """As under systemd with Delegate=yes: the agent makes room for controllers by moving itself."""
    agent = second()
    with agent.connect() as inner:
        where = output(inner, f"echo {OWN}")
        assert where.startswith(f"{ROOT}/svc/guestd.{agent.pid}/")
        assert output(client, f"cat /proc/{agent.pid}/cgroup") == f"0::/svc/guestd.{agent.pid}.agent"
        done = run(inner, f"exec {EAT}", limits={"memory": 16 * MIB})
        assert (done["signal"], done["oom_killed"]) == (9, True)
        assert output(inner, f"cat {OWN}/pids.max", limits={"pids": 9}) == "9"
        call, hidden = hide(inner, "proc.exec", f"{scratch}/pid", grace_ms=200)
        call.cancel()
        assert error_of(call.wait).code == "canceled"
        assert not is_alive(client, hidden)
    assert agent.stop()["code"] == 0
    assert directories(client, f"{ROOT}/svc") == set(), "it went back and left nothing"


def test_a_service_with_a_place_for_the_agent_is_started_again_beside_what_lives_on(client, second):
    """As under systemd with DelegateSubgroup=guestd.agent.  Without it nobody, the service manager neither, can
    put the next agent into the cgroup of the service: it has controllers for what the last one started."""
    service = f"{ROOT}/svc3"
    agent = second(cgroup=f"{service}/guestd.agent")
    with agent.connect() as inner:
        info = inner.call("proc.start", {"argv": ["sleep", "600"], "limits": {"pids": 9}})
        assert output(client, f"cat /proc/{agent.pid}/cgroup") == "0::/svc3/guestd.agent", "it stays there"
        where = output(client, f"sed -n s/^0:://p /proc/{info['pid']}/cgroup")
        assert where.startswith(f"/svc3/guestd.{agent.pid}/")
    client.call("proc.signal", {"id": agent.id, "signal": "KILL"})
    client.call("proc.wait", {"id": agent.id})
    assert run(client, f"echo $$ >{service}/cgroup.procs")["code"] != 0, "there is no need for the place"
    agent = second(cgroup=f"{service}/guestd.agent")
    with agent.connect() as inner:
        assert output(inner, f"cat {OWN}/pids.max", limits={"pids": 9}) == "9"
    assert is_alive(client, info["pid"])
    assert output(client, f"cat {ROOT}{where}/pids.max") == "9", "nor was its limit lifted"
    output(client, f"kill -9 {info['pid']}")


def test_where_others_share_its_cgroup_there_are_no_limits_but_it_finds_and_kills(client, second, scratch):
    agent = second(cgroup=f"{ROOT}/shared", before="sleep 600 >/dev/null 2>&1 &")
    with agent.connect() as inner:
        for name in "memory", "pids", "cpu_ms_per_s":
            error = error_of(run, inner, "true", limits={name: 50 * MIB})
            assert (error.code, error.stage) == ("unsupported", "cgroup")
            assert f"limits.{name}" in error.message and "Delegate=yes" in error.message, error.message
            assert f"{ROOT}/shared" in error.message
        assert output(inner, "echo fine") == "fine"
        assert inner.call("system.info")["process_trees"] == "cgroup2"
        call, hidden = hide(inner, "proc.exec", f"{scratch}/pid", grace_ms=200)
        call.cancel()
        assert error_of(call.wait).code == "canceled"
        assert not is_alive(client, hidden)
    assert agent.stop()["code"] == 0


def test_a_directory_that_is_named_is_used(client, second):
    """And the agent, which is not in it, stays where it is."""
    output(client, f"mkdir -p {ROOT}/mine")
    agent = second("--cgroup", f"{ROOT}/mine", cgroup=ROOT)
    with agent.connect() as inner:
        assert output(inner, f"echo {OWN}").startswith(f"{ROOT}/mine/guestd.{agent.pid}/")
        assert output(inner, f"cat {OWN}/pids.max", limits={"pids": 9}) == "9"
    assert output(client, f"cat /proc/{agent.pid}/cgroup") == "0::/"


@pytest.mark.parametrize("setting, sentence", [
    ("off", "switched off"),
    ("/sys/fs/cgroup/nowhere", "No such file"),
    ("/tmp", "not in a file system of type cgroup2"),
])
def test_without_cgroups_everything_else_works(second, setting, sentence):
    agent = second("--cgroup", setting, cgroup=ROOT)
    with agent.connect() as inner:
        info = inner.call("system.info")
        assert (info["process_trees"], info["cgroup2"]) == ("session", False)
        assert output(inner, "cat /proc/self/cgroup") == "0::/"
        error = error_of(run, inner, "true", limits={"memory": 50 * MIB})
        assert (error.code, error.stage) == ("unsupported", "cgroup")
        assert "limits.memory" in error.message and sentence in error.message, error.message
        call = inner.open("proc.exec", {"cmd": "setsid sleep 600 & echo $!; wait", "grace_ms": 200})
        call.pump(lambda: b"\n" in call.stdout)
        call.cancel()
        assert error_of(call.wait).code == "canceled"
        assert not is_alive(inner, int(call.stdout))
    assert "cgroup: none: " in agent.said() and sentence in agent.said()


def test_a_read_only_cgroup_file_system_is_no_reason_not_to_start(second):
    agent = second(wrap=f"unshare -m sh -c 'mount -o remount,bind,ro {ROOT}; exec \"$@\"' -")
    with agent.connect() as inner:
        assert inner.call("system.info")["process_trees"] == "session"
        error = error_of(run, inner, "true", limits={"memory": 50 * MIB})
        assert error.code == "unsupported" and "EROFS" in error.message, error.message


def test_what_a_killed_agent_left_is_the_next_ones(client, second):
    """Its directory, with which that goes on; it is removed at the end."""
    agent = second(cgroup=ROOT)
    first = agent.pid
    with agent.connect() as inner:
        output(inner, "echo fine")
    client.call("proc.signal", {"id": agent.id, "signal": "KILL"})
    client.call("proc.wait", {"id": agent.id})
    assert f"./guestd.{first}" in directories(client, ROOT)
    agent = second(cgroup=ROOT)
    with agent.connect() as inner:
        assert output(inner, f"cat {OWN}/pids.max", limits={"pids": 9}) == "9"
        assert output(inner, "cat /proc/self/cgroup").startswith(f"0::/guestd.{first}/")
    assert f"./guestd.{agent.pid}" not in directories(client, ROOT)
    client.call("proc.signal", {"id": agent.id, "signal": "TERM"})
    client.call("proc.wait", {"id": agent.id})
    assert not [d for d in directories(client, ROOT) if d.startswith(f"./guestd.{first}")]
