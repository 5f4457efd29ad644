"""Terminals: `pty` in a spawn, pty.open and pty.resize."""

import pytest

from client import END, LONG, STDIN
from support import NUMBERS, REMOTE, assert_exit, error_of, eventually, go, has_written, info_of, numbers, rounds, unique

# Input arrives as it was sent, and output leaves as it was written.
RAW = "stty raw -echo"


def run(client, **spawn):
    """A command on a terminal, to its end; the Call."""
    call = client.open("proc.exec", {"pty": {}} | spawn)
    call.wait(LONG)
    return call


def open_pty(client, **spawn):
    call = client.open("pty.open", spawn)
    call.event("started")
    return call


def shows(call, text, timeout=None):
    """Wait until its output holds `text`."""
    more = {} if timeout is None else {"timeout": timeout}
    call.pump(lambda: text in call.stdout, what=f"{text!r} on the terminal", **more)
    assert text in call.stdout, bytes(call.stdout)


def resize(client, call, rows, cols):
    """Of the process that this call started."""
    assert client.call("pty.resize", {"id": call.events[0]["id"], "rows": rows, "cols": cols}) == {}


# -- the terminal --------------------------------------------------------------------------------

def test_all_three_descriptors_are_the_terminal(client):
    call = run(client, cmd="test -t 0 && test -t 1 && test -t 2 && tty; for i in 0 1 2; do readlink /proc/self/fd/$i;"
                           " done")
    names = call.stdout.split(b"\r\n")
    assert names[0].startswith(b"/dev/pts/") and names[:4] == [names[0]] * 4
    assert_exit(call.result, code=0)


def test_it_is_the_controlling_terminal(client):
    call = run(client, cmd="echo to the tty >/dev/tty; cat /proc/$$/stat")
    first, stat = call.stdout.decode().split("\r\n")[:2]
    assert first == "to the tty"
    fields = stat.rpartition(")")[2].split()
    pid = str(call.events[0]["pid"])
    assert fields[2] == pid and fields[3] == pid, "it leads its process group and session"
    assert int(fields[4]) != 0 and fields[5] == pid, "and is in the foreground"


@pytest.mark.parametrize("pty, size", [({}, "24 80"), ({"rows": 50}, "50 80"), ({"cols": 132}, "24 132"),
                                       ({"rows": 2, "cols": 29999}, "2 29999")])
def test_its_size(client, pty, size):
    assert run(client, cmd="stty size", pty=pty).stdout.decode().strip() == size
    call = open_pty(client, cmd="stty size", **pty)
    call.wait()
    assert call.stdout.decode().strip() == size


@pytest.mark.local      # busybox takes such sizes for mistakes
@pytest.mark.parametrize("n", [1, 65535])
def test_extreme_sizes(client, n):
    call = open_pty(client, cmd="stty size; read x; stty size", rows=n, cols=n)
    shows(call, f"{n} {n}\r\n".encode())
    resize(client, call, 65536 - n, n)
    call.write(b"\r")
    call.wait()
    assert call.stdout.endswith(f"{65536 - n} {n}\r\n".encode())


@pytest.mark.parametrize("pty", [{"rows": 0}, {"cols": 0}, {"rows": 65536}, {"cols": 65536}, {"rows": -1},
                                 {"cols": "80"}, {"term": 5}, {"term": "a\0b"}, {"lines": 24}, True, 80], ids=repr)
def test_impossible_terminals(client, pty):
    for method in ("proc.exec", "proc.run", "proc.start"):
        assert error_of(client.call, method, {"argv": ["true"], "pty": pty}).code == "bad_params"


@pytest.mark.parametrize("size", [{"rows": 0, "cols": 80}, {"rows": 24, "cols": 65536}, {"rows": -1, "cols": 1}],
                         ids=repr)
def test_impossible_sizes(client, size):
    assert error_of(client.call, "pty.open", {"argv": ["true"]} | size).code == "bad_params"
    call = open_pty(client, cmd="read x; stty size")
    assert error_of(client.call, "pty.resize", {"id": call.events[0]["id"]} | size).code == "bad_params"
    call.write(b"\n")
    call.wait()
    assert call.stdout.endswith(b"24 80\r\n")


def test_term(client):
    assert run(client, cmd='echo "<$TERM>"').stdout == b"<xterm-256color>\r\n"
    assert run(client, cmd='echo "<$TERM>"', pty={"term": "vt100"}).stdout == b"<vt100>\r\n"
    assert run(client, cmd='echo "<$TERM>"', env={"TERM": "dumb"}).stdout == b"<dumb>\r\n", "env comes later, and wins"
    call = open_pty(client, cmd='echo "<$TERM>"', rows=24, cols=80, term="screen")
    call.wait()
    assert call.stdout == b"<screen>\r\n"
    plain = client.call("proc.run", {"cmd": 'echo "<$TERM>"'})
    assert plain["stdout"] == b"<>\n", "without a terminal there is none"


@pytest.mark.parametrize("user", ["4321:1234", "nobody", "root"])
def test_the_device_belongs_to_the_user(client, is_root, user):
    if not is_root:
        pytest.skip("the agent is not root")
    call = run(client, cmd='echo $(id -u) $(stat -c "%u %a" "$(tty)"); exec 3<>"$(tty)" && echo opened', user=user)
    words = call.stdout.split()
    assert words[0] == words[1] and words[3] == b"opened", bytes(call.stdout)
    assert int(words[2], 8) & 0o007 == 0, "nobody else may read or write it"


def test_the_info_tells(client, start):
    with_pty, without = start(argv=["sleep", "60"], pty={}), start(argv=["sleep", "60"])
    assert with_pty["pty"] is True and without["pty"] is False
    assert info_of(client, with_pty["id"])["pty"] is True


def test_a_program_that_cannot_be_run(client):
    e = error_of(client.call, "pty.open", {"argv": ["/no/such/program"]})
    assert (e.code, e.stage) == ("ENOENT", "exec")
    e = error_of(client.call, "pty.open", {"argv": ["true"], "cwd": "/no/such/dir"})
    assert (e.code, e.stage) == ("ENOENT", "chdir")
    e = error_of(client.call, "pty.open", {"argv": ["true"], "user": "no-such-user"})
    assert (e.code, e.stage) == ("not_found", "user")


# -- output --------------------------------------------------------------------------------------

def test_all_output_is_on_channel_1(client):
    call = run(client, cmd="echo out; echo err >&2; exit 3")
    assert (call.stdout, call.stderr) == (b"out\r\nerr\r\n", b"")
    result = assert_exit(call.result, code=3)
    assert (result["stdout_bytes"], result["stderr_bytes"], result["eof"]) == (10, 0, True)


def test_a_run_has_one_too(client):
    result = client.call("proc.run", {"cmd": "tty; echo err >&2", "pty": {}})
    assert result["stdout"].startswith(b"/dev/pts/") and result["stdout"].endswith(b"err\r\n")
    assert result["stderr"] == b"" and result["code"] == 0


def test_the_last_output_is_not_lost(client):
    """The other end of a pty fails with EIO as soon as the last descriptor is closed."""
    for _ in range(rounds(50)):
        call = run(client, cmd="printf last; printf words >&2")
        assert call.stdout == b"lastwords"


@pytest.mark.parametrize("size", [4095, 4096, 4097, 65536, 1_000_000 if not REMOTE else 100_000])
def test_large_output_arrives_whole(conn, size):
    call = run(conn, cmd=f"{RAW}; {numbers(size)}")
    assert call.stdout == NUMBERS[:size] and call.result["stdout_bytes"] == size


def test_slow_clients_hold_it_back(agent, client, start):
    info = start(cmd=f"{RAW}; echo ready; read x; {numbers(200_000)}; exit 3", pty={}, ring=65536)
    with agent.connect() as c:
        c.hello(window=1000)
        call = c.open("proc.attach", {"id": info["id"]})
        call.auto_credit = False
        shows(call, b"ready\n")
        go(client, info["id"])
        call.read(1000)
        assert error_of(client.call, "proc.wait", {"id": info["id"], "timeout_ms": 500}).code == "timeout"
        call.grant(1 << 20)
        assert_exit(call.wait(LONG), code=3)
        assert call.stdout == b"ready\n" + NUMBERS[:200_000]


def test_attached_to_a_terminal(client, start):
    info = start(cmd="echo begin; read x; echo end; exit 4", pty={})
    has_written(client, info["id"], 7)
    call = client.open("proc.attach", {"id": info["id"], "stdout_from": -3})
    assert call.event("attached")["info"]["pty"] is True
    call.write(b"typed\r")
    assert_exit(call.wait(), code=4)
    assert call.stdout == b"n\r\ntyped\r\nend\r\n"
    assert client.call("proc.logs", {"id": info["id"]})["text"] == b"begin\r\ntyped\r\nend\r\n"


# -- input ---------------------------------------------------------------------------------------

def test_input_is_typed(conn):
    """With echo, line by line, and without asking for stdin."""
    call = conn.open("proc.exec", {"cmd": "echo ready; read x; echo got $x", "pty": {}})
    shows(call, b"ready\r\n")
    call.write(b"on\x7fe\r")
    call.wait()
    assert call.stdout.startswith(b"ready\r\non") and call.stdout.endswith(b"e\r\ngot oe\r\n")


def test_input_right_behind_the_request(client):
    call = client.open("pty.open", {"cmd": "read x; echo got $x"})
    call.write(b"early\r")
    call.wait()
    assert call.stdout.endswith(b"got early\r\n")


@pytest.mark.parametrize("stdin", [True, False])
def test_stdin_makes_no_difference(client, stdin):
    call = client.open("proc.exec", {"cmd": "read x; echo got $x", "pty": {}, "stdin": stdin})
    call.write(b"it\r")
    assert_exit(call.wait(), code=0)
    assert call.stdout.endswith(b"got it\r\n")


@pytest.mark.parametrize("key, signal, name", [(b"\x03", 2, "SIGINT"), (b"\x1c", 3, "SIGQUIT")])
def test_keys_that_are_signals(client, key, signal, name):
    call = open_pty(client, argv=["cat"])       # no shell: busybox's ignores SIGQUIT
    call.write(b"x\r")
    shows(call, b"x\r\nx\r\n")
    call.write(key)
    assert_exit(call.wait(), signal=signal, signal_name=name)


def test_ctrl_c_reaches_the_foreground(client):
    call = open_pty(client, cmd="trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done")
    shows(call, b"ready\r\n")
    call.write(b"\x03")
    assert_exit(call.wait(), code=7)
    assert call.stdout.endswith(b"caught\r\n")


def test_the_end_of_input_is_a_key(client):
    """[4, id, 0] types ^D: whoever reads sees an end, and the terminal stays, for others to type on."""
    call = open_pty(client, cmd="echo ready; cat; echo first; cat; echo second; read x; echo $x")
    shows(call, b"ready\r\n")
    name = call.event("started")["id"]
    call.end()
    shows(call, b"first\r\n")
    client.call("proc.input", {"id": name, "data": b"line\r"})
    shows(call, b"line\r\nline\r\n")
    client.call("proc.input", {"id": name, "close": True})
    shows(call, b"second\r\n")
    client.call("proc.input", {"id": name, "data": b"still there\r"})
    assert_exit(call.wait(), code=0)
    assert call.stdout.endswith(b"still there\r\n")


def test_the_end_of_input_behind_half_a_line(client):
    """There a first ^D hands the half over, and it takes a second one to end: [4, id, 0] is an end all the same."""
    call = open_pty(client, cmd="echo ready; cat; echo over; read x; echo $x")
    shows(call, b"ready\r\n")
    call.write(b"half")
    call.end()
    shows(call, b"over\r\n")
    assert b"halfhalf" in call.stdout, "the echo and what cat was given"
    client.call("proc.input", {"id": call.event("started")["id"], "data": b"still there\r"})
    assert_exit(call.wait(), code=0)
    assert call.stdout.endswith(b"still there\r\n")


def test_proc_input_types(client, start):
    info = start(cmd="echo ready; read x; echo got $x; cat; echo over", pty={})
    has_written(client, info["id"], 7)
    assert client.call("proc.input", {"id": info["id"], "data": b"word\r"}) == {"written": 5}
    call = client.open("proc.attach", {"id": info["id"]})
    shows(call, b"got word")
    assert client.call("proc.input", {"id": info["id"], "close": True}) == {"written": 0}
    assert_exit(call.wait(), code=0)
    assert call.stdout.endswith(b"over\r\n")
    assert error_of(client.call, "proc.input", {"id": info["id"], "data": b"x"}).code == "EPIPE"


def test_a_large_paste_arrives_whole(conn):
    """A terminal takes 4 KiB at a time, and throws away what comes too fast."""
    size = 200_000
    call = conn.open("proc.exec", {"cmd": f"{RAW}; echo ready; head -c {size} | md5sum", "pty": {}})
    shows(call, b"ready\n")
    assert call.write(NUMBERS[:size]) == size
    call.wait(LONG)
    expected = conn.call("proc.run", {"cmd": f"{numbers(size)} | md5sum"})["stdout"]
    assert call.stdout == b"ready\n" + expected


def test_echo_and_output_do_not_wait_for_each_other(conn):
    """Both directions full at once."""
    size = 100_000
    call = conn.open("proc.exec", {"cmd": f"{RAW}; echo ready; exec head -c {size}", "pty": {}})
    shows(call, b"ready\n")
    call.write(NUMBERS[:size])
    call.wait(LONG)
    assert call.stdout == b"ready\n" + NUMBERS[:size]


# -- pty.open ------------------------------------------------------------------------------------

def test_open_is_exec_with_a_terminal(client):
    process_id = unique("pty-open")
    call = client.open("pty.open", {"argv": ["sh", "-c", "stty size; exit 5"], "rows": 30, "cols": 100,
                                    "id": process_id, "env": {"A": "b"}, "cwd": "/proc"})
    started = call.event("started")
    assert started["id"] == process_id and started["pid"] > 1
    assert_exit(call.wait(), code=5)
    assert call.stdout == b"30 100\r\n" and call.ended == {1}
    info = info_of(client, process_id)
    assert info["pty"] is True and info["cwd"] == "/proc"


def test_open_with_a_known_id_attaches(client):
    process_id = unique("pty-again")
    first = open_pty(client, cmd="echo ready; read x; echo got $x", id=process_id)
    shows(first, b"ready\r\n")
    second = open_pty(client, cmd="false", id=process_id)
    assert second.events[0] == first.events[0]
    second.write(b"one\r")
    assert first.wait() == second.wait()
    assert first.stdout == second.stdout and first.stdout.endswith(b"got one\r\n")


def test_open_runs_the_login_shell(client):
    call = open_pty(client)
    call.write(b"PS1= PS2=; stty -echo; echo be''gin; echo \"<$0>\"; tty; stty size; echo $TERM; pwd -P; exit 9\r")
    assert_exit(call.wait(), code=9)
    lines = call.stdout.partition(b"begin\r\n")[2].decode().splitlines()
    shell = client.call("proc.run", {"cmd": 'echo "$SHELL"; pwd -P'})["stdout"].decode().split("\n")
    assert lines[0] == f"<-{shell[0].rpartition('/')[2]}>", "argv[0] tells it to be one"
    assert lines[1].startswith("/dev/pts/") and lines[2:5] == ["24 80", "xterm-256color", shell[1]]


def test_open_runs_the_shell_of_that_user(client, is_root):
    if not is_root:
        pytest.skip("the agent is not root")
    call = open_pty(client, user="4321:1234", rows=40, cols=90, term="vt100")
    call.write(b"PS1=; stty -echo; echo be''gin; echo \"<$0>\"; id -u; id -g; stty size; echo $TERM; exit\r")
    call.wait()
    assert call.stdout.partition(b"begin\r\n")[2].decode().split() == ["<-sh>", "4321", "1234", "40", "90", "vt100"]


def test_open_takes_one_command_at_most(client):
    assert error_of(client.call, "pty.open", {"argv": ["true"], "cmd": "true"}).code == "bad_params"


def test_an_interactive_shell_has_job_control(client):
    call = open_pty(client, argv=["sh", "-i"], env={"PS1": "> ", "ENV": None})
    call.write(b"sleep 1000\r")
    shows(call, b"sleep 1000")
    eventually(lambda: any(p["argv"] == ["sleep", "1000"] and p.get("id") == call.events[0]["id"]
                           for p in client.call("proc.list", {"all": True})), "the command runs")
    call.write(b"\x03")
    call.write(b"echo code=$?; exit 3\r")
    assert_exit(call.wait(), code=3)
    assert b"code=130" in call.stdout and b"job control" not in call.stdout


# -- pty.resize ----------------------------------------------------------------------------------

def test_resize_is_seen_and_told(client):
    call = open_pty(client, cmd="trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
    shows(call, b"ready\r\n")
    for rows, cols in ((50, 132), (51, 132), (51, 133), (2, 29999)):
        resize(client, call, rows, cols)
        shows(call, f"{rows} {cols}\r\n".encode())
    call.cancel()
    assert error_of(call.wait).code == "canceled"


def test_resize_by_pid(client, start):
    info = start(cmd="read x; stty size", pty={"rows": 10, "cols": 10})
    assert client.call("pty.resize", {"pid": info["pid"], "rows": 11, "cols": 12}) == {}
    go(client, info["id"])
    client.call("proc.wait", {"id": info["id"]})
    assert client.call("proc.logs", {"id": info["id"]})["text"].endswith(b"11 12\r\n")


def test_resize_from_another_connection(agent, client):
    call = open_pty(client, cmd="read x; stty size")
    with agent.connect() as c:
        resize(c, call, 33, 44)
    call.write(b"\r")
    call.wait()
    assert call.stdout.endswith(b"33 44\r\n")


def test_resize_right_behind_the_start(client):
    """Before the program has done anything."""
    for i in range(2, rounds(20) + 2):
        info = client.call("proc.start", {"cmd": "read x; stty size", "pty": {}})
        client.call("pty.resize", {"id": info["id"], "rows": i, "cols": i})
        go(client, info["id"])
        client.call("proc.wait", {"id": info["id"]})
        assert client.call("proc.logs", {"id": info["id"]})["text"].endswith(f"{i} {i}\r\n".encode())


def test_resize_many_times_at_once(client):
    call = open_pty(client, cmd="read x; stty size")
    resizes = [client.open("pty.resize", {"id": call.events[0]["id"], "rows": i, "cols": i}) for i in range(2, 202)]
    assert all(r.wait() == {} for r in resizes)
    call.write(b"\r")
    call.wait()
    assert call.stdout.endswith(b"201 201\r\n")


def test_resize_of_what_has_no_terminal(client, start):
    info = start(argv=["sleep", "60"])
    e = error_of(client.call, "pty.resize", {"id": info["id"], "rows": 24, "cols": 80})
    assert e.code in ("ENOTTY", "bad_params", "unsupported")


def test_resize_of_an_exited_one(client, start):
    info = start(argv=["true"], pty={})
    client.call("proc.wait", {"id": info["id"]})
    e = error_of(client.call, "pty.resize", {"id": info["id"], "rows": 24, "cols": 80})
    assert e.code in ("not_found", "ENOTTY")


# -- attaching redraws ---------------------------------------------------------------------------

def test_an_attach_asks_the_foreground_to_redraw(client, start):
    """The program is not the leader here: an editor in a shell."""
    info = start(cmd="sh -c 'trap \"echo redrawn\" WINCH; echo ready; while :; do sleep 0.05; done'; exit 3", pty={})
    has_written(client, info["id"], 7)
    for _ in range(3):
        call = client.open("proc.attach", {"id": info["id"], "stdout_from": -1})
        shows(call, b"redrawn\r\n")
        call.cancel()
        assert error_of(call.wait).code == "canceled"


def test_a_look_without_follow_asks_nothing(client, start):
    info = start(cmd="trap 'echo redrawn' WINCH; echo ready; while [ ! \"$x\" ]; do read x; done; echo over", pty={})
    has_written(client, info["id"], 7)
    call = client.open("proc.attach", {"id": info["id"], "follow": False})
    assert call.wait()["running"] is True
    client.call("proc.input", {"id": info["id"], "data": b"x\r"})
    client.call("proc.wait", {"id": info["id"]})
    text = client.call("proc.logs", {"id": info["id"]})["text"]
    assert b"redrawn" not in text and text.endswith(b"over\r\n")


# -- the end -------------------------------------------------------------------------------------

def test_the_exit_of_the_leader_hangs_up_its_jobs(client, alive):
    call = run(client, cmd="sleep 1000 & echo $!; exit 5")
    assert_exit(call.result, code=5)
    child = int(call.stdout)
    eventually(lambda: not alive(child), "the job was hung up")


def test_what_ignores_the_hangup_does_not_hold_the_response(client, start):
    info = start(cmd="trap '' HUP; sleep 1000 & exit 5", pty={})
    assert_exit(client.call("proc.wait", {"id": info["id"]}), code=5)
    call = client.open("pty.open", {"cmd": "trap '' HUP; sleep 1000 & exit 6", "on_disconnect": "kill"})
    assert_exit(call.wait(), code=6)


def test_a_cancel_ends_all_of_it(client, alive):
    call = open_pty(client, cmd="sleep 61 & echo $!; setsid sleep 62 & echo $!; echo ready; wait")
    shows(call, b"ready\r\n")
    pids = [int(w) for w in call.stdout.split() if w.isdigit()]
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    assert len(pids) == 2 and not any(map(alive, pids))


def test_it_outlives_its_connection(agent, client, start):
    process_id = unique("pty-lives")
    with agent.connect() as c:
        shows(open_pty(c, cmd="echo ready; read x; echo got $x; exit 4", id=process_id), b"ready\r\n")
    call = client.open("proc.attach", {"id": process_id})
    shows(call, b"ready\r\n")
    call.write(b"it\r")
    assert_exit(call.wait(), code=4)
    assert call.stdout == b"ready\r\nit\r\ngot it\r\n"


def test_a_timeout(client):
    result = run(client, cmd="echo on; exec sleep 60", timeout_ms=500).result
    assert result["timed_out"] is True and result["signal"] in (1, 15)


def test_fifty_terminals_at_once(client):
    calls = [client.open("pty.open", {"cmd": f"read x; echo {i} $x; exit {i}"}) for i in range(rounds(50))]
    for call in calls:
        call.write(b"go\r")
    for i, call in enumerate(calls):
        assert_exit(call.wait(LONG), code=i)
        assert call.stdout.endswith(f"{i} go\r\n".encode())


@pytest.mark.local
def test_terminals_are_given_back(agent, client):
    run(client, argv=["true"])
    fds = agent.fds()
    for _ in range(rounds(100)):
        run(client, argv=["true"])
    eventually(lambda: agent.fds() <= fds, f"back to {fds} descriptors")


def test_an_end_of_another_channel_is_nothing(client):
    call = open_pty(client, cmd="read x; echo got $x")
    for channel in (1, 2, 7):
        client.send([END, call.id, channel])
    client.send([3, call.id, STDIN, b"it\r"])
    assert_exit(call.wait(), code=0)
    assert call.stdout.endswith(b"got it\r\n")
