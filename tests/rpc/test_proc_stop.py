"""proc.signal and proc.stop: one process, its group, its tree, and nobody else."""

import os
import subprocess

import pytest

from support import assert_exit, error_of, eventually, has_written, info_of, rounds, unique

# It does not die of TERM, and neither does what it starts.
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 1; done"

# Four of them: the leader, two in its group, one in a session of its own.
TREE = "sleep 61 & echo one $!; (sleep 62; :) & echo two $!; setsid sh -c 'echo other $$; exec sleep 63' & wait"


def lines(client, process_id, count):
    """The first lines of its output."""
    def check():
        text = client.call("proc.logs", {"id": process_id})["text"]
        return text.split(b"\n")[:count] if text.count(b"\n") >= count else None
    return eventually(check, f"{count} lines of {process_id}")


def tree(client, start, script=TREE, **more):
    """(the ProcessInfo of a running TREE, {name: pid} of those that its lines tell of)."""
    info = start(cmd=script, **more)
    told = [line.split() for line in lines(client, info["id"], script.count("echo "))]
    return info, {line[0].decode(): int(line[1]) for line in told if len(line) > 1}


def signal(client, process_id, number, **more):
    return client.call("proc.signal", {"id": process_id, "signal": number} | more)


def wait(client, process_id):
    return client.call("proc.wait", {"id": process_id})


def state(client, pid):
    """The letter of its state, or ''."""
    stat = client.call("proc.run", {"argv": ["cat", f"/proc/{pid}/stat"]})["stdout"].decode()
    return stat.rpartition(")")[2].split()[0] if stat else ""


@pytest.fixture
def has_cgroups(client):
    """Whether each process has a cgroup of its own."""
    return b"guestd." in client.call("proc.run", {"argv": ["cat", "/proc/self/cgroup"]})["stdout"]


# -- proc.signal ---------------------------------------------------------------------------------

@pytest.mark.parametrize("given, number, name", [("TERM", 15, "SIGTERM"), ("SIGTERM", 15, "SIGTERM"),
                                                 (15, 15, "SIGTERM"), ("USR2", 12, "SIGUSR2"), (9, 9, "SIGKILL"),
                                                 ("SIGHUP", 1, "SIGHUP"), ("QUIT", 3, "SIGQUIT"), (1, 1, "SIGHUP")])
def test_signals_by_name_and_number(client, start, given, number, name):
    info = start(argv=["sleep", "60"])
    assert signal(client, info["id"], given) == {"signaled": 1}
    assert_exit(wait(client, info["id"]), signal=number, signal_name=name)


@pytest.mark.parametrize("given", ["NOSUCH", "SIG", "", "SIGSIGTERM", "TERM ", -1, 65, 1 << 40, 1.5, None],
                         ids=repr)
def test_no_signals(client, start, given):
    info = start(argv=["sleep", "60"])
    assert error_of(signal, client, info["id"], given).code == "bad_params"
    assert info_of(client, info["id"])["status"] == "running"


def test_a_handler_runs(client, start):
    info = start(cmd="trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.05; done")
    has_written(client, info["id"], 6)
    signal(client, info["id"], "USR1", scope="leader")
    assert_exit(wait(client, info["id"]), code=3)
    assert lines(client, info["id"], 2) == [b"ready", b"caught"]


def test_by_pid_and_by_label(client, start):
    label = unique("label")
    one, two = (start(argv=["sleep", "60"], label=label) for _ in range(2))
    assert client.call("proc.signal", {"label": label, "signal": "HUP"}) == {"signaled": 1}
    assert wait(client, two["id"])["signal"] == 1, "the newest"
    assert client.call("proc.signal", {"label": label, "signal": "INT"}) == {"signaled": 1}
    assert wait(client, one["id"])["signal"] == 2, "the newest that runs"
    assert error_of(client.call, "proc.signal", {"label": label, "signal": "INT"}).code == "not_found"
    three = start(argv=["sleep", "60"])
    assert client.call("proc.signal", {"pid": three["pid"], "signal": "KILL"}) == {"signaled": 1}
    assert wait(client, three["id"])["signal"] == 9


def test_the_leader_alone(client, start, alive):
    info, children = tree(client, start)
    assert signal(client, info["id"], "KILL", scope="leader") == {"signaled": 1}
    assert wait(client, info["id"])["signal"] == 9
    assert all(map(alive, children.values()))


@pytest.mark.parametrize("more", [{}, {"scope": "group"}], ids=["default", "group"])
def test_its_group(client, start, alive, more):
    info, pids = tree(client, start)
    assert signal(client, info["id"], "KILL", **more)["signaled"] >= 3
    assert wait(client, info["id"])["signal"] == 9
    eventually(lambda: not alive(pids["one"]) and not alive(pids["two"]), "the group is gone")
    assert alive(pids["other"]), "in a group of its own"


def test_its_tree(client, start, alive):
    info, children = tree(client, start)
    assert signal(client, info["id"], "KILL", scope="tree")["signaled"] >= 4
    assert wait(client, info["id"])["signal"] == 9
    eventually(lambda: not any(map(alive, children.values())), "the tree is gone")


def test_an_unknown_scope(client, start):
    info = start(argv=["sleep", "60"])
    assert error_of(signal, client, info["id"], "TERM", scope="all").code == "bad_params"


def test_stopped_and_continued(client, start):
    info, children = tree(client, start, "sleep 61 & echo child $!; wait")
    for name, letters in (("STOP", "T"), ("CONT", "SR")):
        assert signal(client, info["id"], name)["signaled"] >= 2
        eventually(lambda: all(state(client, pid) in letters for pid in (info["pid"], children["child"])), name)
    assert info_of(client, info["id"])["status"] == "running"


@pytest.mark.parametrize("scope", ["leader", "group", "tree"])
def test_what_has_exited_is_not_found(client, start, scope):
    info = start(argv=["true"])
    wait(client, info["id"])
    for which in ({"id": info["id"]}, {"pid": info["pid"]}):
        e = error_of(client.call, "proc.signal", which | {"signal": "TERM", "scope": scope})
        assert e.code == "not_found"


def test_a_pid_is_the_agents_only_if_the_agent_started_it(client, start, alive):
    """A child of one of its processes is not named by accident, only on purpose."""
    info, children = tree(client, start, "sleep 61 & echo child $!; wait")
    child = children["child"]
    params = {"pid": child, "signal": "KILL", "scope": "leader"}
    assert error_of(client.call, "proc.signal", params).code == "not_found" and alive(child)
    assert client.call("proc.signal", params | {"foreign": True}) == {"signaled": 1}
    assert wait(client, info["id"])["code"] is not None, "its parent saw it end"


@pytest.mark.local
def test_a_process_that_others_started(client):
    process = subprocess.Popen(["sleep", "60"])
    try:
        params = {"pid": process.pid, "signal": "USR1"}
        assert error_of(client.call, "proc.signal", params).code == "not_found"
        assert error_of(client.call, "proc.signal", params | {"foreign": False}).code == "not_found"
        assert process.poll() is None
        assert client.call("proc.signal", params | {"foreign": True, "scope": "leader"}) == {"signaled": 1}
        assert process.wait(20) == -10
    finally:
        process.kill()
        process.wait()
    assert error_of(client.call, "proc.signal", params | {"foreign": True}).code == "not_found"


def test_the_agent_itself_is_refused(client, start):
    """Its pid: the parent of what it starts."""
    info = start(argv=["sleep", "60"])
    stat = client.call("proc.run", {"argv": ["cat", f"/proc/{info['pid']}/stat"]})["stdout"].decode()
    agent = int(stat.rpartition(")")[2].split()[1])
    for scope in ("leader", "group", "tree"):
        e = error_of(client.call, "proc.signal", {"pid": agent, "signal": "USR1", "foreign": True, "scope": scope})
        assert (e.code, e.errno) == ("EPERM", 1)
    client.call("system.ping")
    assert info_of(client, info["id"])["status"] == "running"


# -- proc.stop -----------------------------------------------------------------------------------

def test_stop_terminates_and_answers_with_the_exit(client, start, alive):
    info = start(argv=["sleep", "60"])
    result = assert_exit(client.call("proc.stop", {"id": info["id"]}), signal=15, signal_name="SIGTERM")
    assert result["timed_out"] is False and not alive(info["pid"])
    assert wait(client, info["id"]) == result
    assert info_of(client, info["id"])["status"] == "exited"


def test_stop_ends_the_whole_tree(client, start, alive):
    info, children = tree(client, start)
    client.call("proc.stop", {"id": info["id"]})
    assert not any(map(alive, [info["pid"], *children.values()])), "nothing of it is alive when the response is there"


def test_stop_kills_what_ignores_term(client, start, alive):
    info, children = tree(client, start, f"({STUBBORN}) & echo one $!; setsid sh -c \"{STUBBORN}\" & echo two $!; wait")
    assert len(children) == 2
    result = client.call("proc.stop", {"id": info["id"], "grace_ms": 300})
    assert_exit(result, signal=15, signal_name="SIGTERM")
    assert not any(map(alive, [info["pid"], *children.values()]))


def test_stop_waits_for_the_last_one(client, start, alive):
    """The leader is gone at once and nobody holds its output; a child of it lives until it is killed."""
    script = "(trap '' TERM; echo ready; exec sleep 1000 >/dev/null 2>&1) & echo child $!; wait"
    info, children = tree(client, start, script)
    result = client.call("proc.stop", {"id": info["id"], "grace_ms": 1500})
    assert_exit(result, signal=15, signal_name="SIGTERM")
    assert not alive(children["child"])


@pytest.mark.parametrize("grace_ms", [0, 300])
def test_the_grace_is_that_of_the_stop(client, start, grace_ms):
    """Whatever the spawn said: that is for its timeout."""
    info = start(cmd=STUBBORN, grace_ms=3_600_000)
    has_written(client, info["id"], 6)
    result = client.call("proc.stop", {"id": info["id"], "grace_ms": grace_ms})
    assert_exit(result, signal=9, signal_name="SIGKILL")
    assert result["duration_ms"] >= grace_ms


def test_stop_leaves_time_to_clean_up(client, start):
    info = start(cmd="trap 'sleep 0.3; echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    has_written(client, info["id"], 6)
    result = assert_exit(client.call("proc.stop", {"id": info["id"]}), code=3)
    assert result["stdout_bytes"] == 10 and result["timed_out"] is False


@pytest.mark.parametrize("given", ["INT", "SIGINT", 2])
def test_stop_with_another_signal(client, start, given):
    info = start(cmd="trap 'exit 4' INT; trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    has_written(client, info["id"], 6)
    assert_exit(client.call("proc.stop", {"id": info["id"], "signal": given}), code=4)


def test_stop_with_an_impossible_signal(client, start):
    info = start(argv=["sleep", "60"])
    for given in ("NOSUCH", 0, 99, -1):
        assert error_of(client.call, "proc.stop", {"id": info["id"], "signal": given}).code == "bad_params"
    assert info_of(client, info["id"])["status"] == "running"


def test_stop_of_one_that_is_stopped_by_a_signal(client, start, alive):
    """SIGSTOP keeps it from seeing TERM."""
    info, children = tree(client, start, "sleep 61 & echo child $!; wait")
    signal(client, info["id"], "STOP")
    eventually(lambda: state(client, info["pid"]) == "T", "it stands still")
    result = client.call("proc.stop", {"id": info["id"], "grace_ms": 2000})
    assert result["signal"] in (9, 15) and not any(map(alive, [info["pid"], *children.values()]))


def test_stop_of_an_exited_one_answers_at_once(client, start):
    info = start(cmd="exit 6")
    result = wait(client, info["id"])
    assert client.call("proc.stop", {"id": info["id"]}) == result
    assert client.call("proc.stop", {"pid": info["pid"]}) == result
    assert client.call("proc.stop", {"id": info["id"]}) == assert_exit(result, code=6)


def test_stop_of_an_exited_one_ends_what_it_left_behind(client, start, alive, has_cgroups):
    """In its session, or, where there are cgroups, wherever it is."""
    scripts = ["sleep 61 & echo $!; exit 6"]
    if has_cgroups:
        scripts += ["setsid sleep 62 & echo $!; exit 6", "setsid sh -c 'sleep 63 >/dev/null 2>&1 & echo $!'; exit 6"]
    for script in scripts:
        info = start(cmd=script)
        child = int(lines(client, info["id"], 1)[0])
        assert wait(client, info["id"])["code"] == 6 and alive(child)
        assert_exit(client.call("proc.stop", {"id": info["id"]}), code=6)
        assert not alive(child), script


def test_stop_ends_a_daemon_that_left_everything(client, start, alive, has_cgroups):
    """Its own session, its parents gone, its output elsewhere: only a cgroup knows whose it is."""
    if not has_cgroups:
        pytest.skip("no cgroups here")
    info = start(cmd="setsid sh -c '(trap \"\" TERM HUP; exec sleep 1000) >/dev/null 2>&1 & echo $!'; exec sleep 1000")
    child = int(lines(client, info["id"], 1)[0])
    assert alive(child)
    client.call("proc.stop", {"id": info["id"], "grace_ms": 300})
    assert not alive(child)


def test_stop_of_what_forks_all_the_time(client, start, has_cgroups):
    """A tree that is never the same twice."""
    mark = int.from_bytes(os.urandom(4), "big")
    info = start(cmd=f"echo ready; while :; do (setsid sleep 1000.{mark} &); sleep 0.01; done")
    has_written(client, info["id"], 6)
    assert error_of(client.call, "proc.wait", {"id": info["id"], "timeout_ms": 300}).code == "timeout"
    client.call("proc.stop", {"id": info["id"], "grace_ms": 100})
    find = f"grep -l 1000[.]{mark} /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3"    # not itself
    left = client.call("proc.run", {"cmd": find})["stdout"].split()
    if has_cgroups:
        assert left == []
    else:       # what left the session and lost its parents is not found
        client.call("proc.run", {"cmd": f"kill -9 $({find})"})


def test_everybody_who_stops_it_is_answered(agent, client, start):
    info = start(cmd=STUBBORN)
    has_written(client, info["id"], 6)
    with agent.connect() as c:
        calls = [x.open("proc.stop", {"id": info["id"], "grace_ms": 500}) for x in (c, client, c)]
        assert calls[0].wait() == calls[1].wait() == calls[2].wait()
        assert_exit(calls[0].result, signal=9, signal_name="SIGKILL")


def test_who_is_in_more_of_a_hurry_wins(agent, client, start):
    info = start(cmd=STUBBORN)
    has_written(client, info["id"], 6)
    with agent.connect() as c:
        patient = c.open("proc.stop", {"id": info["id"], "grace_ms": 3_600_000})
        c.call("system.ping")
        hurried = client.open("proc.stop", {"id": info["id"], "grace_ms": 100})
        assert hurried.wait() == patient.wait()
        assert hurried.result["signal"] == 9


def test_stop_of_a_label_ends_all_that_have_it(client, start, alive):
    label = unique("label")
    infos = [start(cmd=f"trap 'exit {i}' TERM; echo ready; while :; do sleep 0.05; done", label=label)
             for i in range(1, 4)]
    other = start(argv=["sleep", "60"], label=unique("other"))
    for info in infos:
        has_written(client, info["id"], 6)
    exits = client.call("proc.stop", {"label": label})
    assert sorted(assert_exit(e, code=e["code"])["code"] for e in exits) == [1, 2, 3]
    assert not any(alive(info["pid"]) for info in infos) and alive(other["pid"])


def test_stop_of_a_label_of_one(client, start):
    label = unique("label")
    start(argv=["sleep", "60"], label=label)
    for _ in range(2):      # it has exited the second time
        exits = client.call("proc.stop", {"label": label})
        assert len(exits) == 1 and assert_exit(exits[0], signal=15, signal_name="SIGTERM")


def test_stop_is_not_held_up_by_who_reads_nothing(agent, client, start):
    info = start(argv=["yes"])
    with agent.connect() as c:
        c.hello(window=10)
        call = c.open("proc.attach", {"id": info["id"]})
        call.auto_credit = False
        call.read(10)
        assert client.call("proc.stop", {"id": info["id"]})["signal"] == 15


def test_an_attached_call_ends_with_the_exit(agent, client, start):
    info = start(cmd="echo here; exec sleep 60")
    with agent.connect() as c:
        call = c.open("proc.attach", {"id": info["id"]})
        call.read(5)
        result = client.call("proc.stop", {"id": info["id"]})
        assert call.wait() == result and call.stdout == b"here\n"


def test_a_process_that_is_stopped_while_it_ends_by_itself(client, start):
    for _ in range(rounds(50)):
        info = start(argv=["true"])
        result = client.call("proc.stop", {"id": info["id"]})
        assert (result["code"], result["signal"]) in ((0, None), (None, 15))


def test_a_canceled_stop_has_been_one(client, start):
    info = start(cmd=STUBBORN)
    has_written(client, info["id"], 6)
    call = client.open("proc.stop", {"id": info["id"], "grace_ms": 300})
    call.cancel()
    call.pump(lambda: call.done)
    assert call.error is None or call.error["code"] == "canceled"
    assert wait(client, info["id"])["signal"] == 9, "what was begun is done"
