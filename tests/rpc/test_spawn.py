"""How a process starts: what is run, where, as whom, with which environment, and how clean."""

import fcntl
import os
import random
import signal
from pathlib import Path

import pytest

from support import error_of, eventually


def run(client, **spawn):
    return client.call("proc.run", spawn)


def fails(client, **spawn):
    """The error of a spawn; proc.exec and proc.run have to agree about it."""
    one = error_of(client.call, "proc.exec", spawn)
    two = error_of(client.call, "proc.run", spawn)
    assert (one.code, one.stage, one.errno) == (two.code, two.stage, two.errno)
    return one


def put(client, path, content, mode):
    """A file inside the guest."""
    made = run(client, argv=["sh", "-c", 'cat >"$0" && chmod $1 "$0"', path, mode], input=content)
    assert made["code"] == 0, made


# -- what ----------------------------------------------------------------------------------------

def test_argv_goes_to_the_program_as_it_is(client):
    got = run(client, argv=["printf", "<%s>", "a b", "", "$HOME", "*", "'\"", "\u00e4"])
    assert got["stdout"].decode() == "<a b><><$HOME><*><'\"><\u00e4>"


def test_arguments_are_bytes(client):
    got = run(client, argv=["printf", "%s", b"\xff\xfe\x01"])
    assert got["stdout"] == b"\xff\xfe\x01"


def test_cmd_is_run_by_the_shell(client):
    assert run(client, cmd="x=1; echo $((x+2)) | cat")["stdout"] == b"3\n"
    assert run(client, cmd="echo $0")["stdout"] in (b"/bin/sh\n", b"sh\n")


def test_a_command_the_shell_does_not_find_is_the_shells_affair(client):
    got = run(client, cmd="no-such-program-here")
    assert got["code"] == 127 and got["stderr"]


def test_either_argv_or_cmd(client):
    assert fails(client, argv=["true"], cmd="true").code == "bad_params"
    assert fails(client).code == "bad_params"


@pytest.mark.parametrize("argv", [[], ["a\0b"], ["true", "a\0b"], ["true", b"\0"]], ids=repr)
def test_impossible_arguments(client, argv):
    e = fails(client, argv=argv)
    assert e.code == "bad_params" and "argv" in e.message


def test_a_command_with_a_zero_byte(client):
    assert fails(client, cmd="echo a\0b").code == "bad_params"


def test_an_empty_name_is_no_program(client):
    assert fails(client, argv=[""]).code in ("bad_params", "ENOENT")


@pytest.mark.parametrize("program", ["no-such-program-here", "/no/such/program", "/proc/self/status/program"])
def test_a_missing_program_is_an_error_not_an_exit_code(client, program):
    e = fails(client, argv=[program])
    assert e.stage == "exec"
    assert (e.code, e.errno) == (("ENOTDIR", 20) if "status" in program else ("ENOENT", 2))
    assert program in e.message or e.path == program


def test_a_program_without_permission(client, guest_dir):
    put(client, f"{guest_dir}/prog", "#!/bin/sh\necho hi\n", "644")
    e = fails(client, argv=[f"{guest_dir}/prog"])
    assert (e.code, e.errno, e.stage) == ("EACCES", 13, "exec")


def test_a_directory_is_no_program(client):
    e = fails(client, argv=["/proc"])
    assert (e.code, e.stage) == ("EACCES", "exec")


def test_a_file_of_no_known_format(client, guest_dir):
    put(client, f"{guest_dir}/prog", b"\x00\x01\x02garbage", "755")
    e = fails(client, argv=[f"{guest_dir}/prog"])
    assert (e.code, e.errno, e.stage) == ("ENOEXEC", 8, "exec")


def test_a_missing_interpreter(client, guest_dir):
    put(client, f"{guest_dir}/prog", "#!/no/such/interpreter\n", "755")
    e = fails(client, argv=[f"{guest_dir}/prog"])
    assert (e.code, e.stage) == ("ENOENT", "exec")


def test_too_long_an_argument(client):
    e = fails(client, argv=["true", "x" * 200_000])
    assert (e.code, e.stage) == ("E2BIG", "exec")


def test_a_failed_spawn_is_not_remembered(client):
    assert fails(client, argv=["/no/such/program"], id="spawn-retry").code == "ENOENT"
    assert fails(client, argv=["true"], cwd="/no/such/dir", id="spawn-retry").code == "ENOENT"
    assert run(client, argv=["true"], id="spawn-retry")["id"] == "spawn-retry"


# -- where it is found ---------------------------------------------------------------------------

def test_the_program_is_searched_in_the_path_of_the_process(client, guest_dir):
    put(client, f"{guest_dir}/rpc-test-prog", "#!/bin/sh\necho found \"$@\"\n", "755")
    assert fails(client, argv=["rpc-test-prog"]).code == "ENOENT"
    got = run(client, argv=["rpc-test-prog", "it"], env={"PATH": f"/no/such/dir:{guest_dir}:/bin:/usr/bin"})
    assert got["stdout"] == b"found it\n"
    assert fails(client, argv=["ls"], env={"PATH": guest_dir}).code == "ENOENT"


def test_the_search_goes_on_behind_what_may_not_be_run(client, guest_dir):
    assert run(client, argv=["mkdir", f"{guest_dir}/a", f"{guest_dir}/b"])["code"] == 0
    put(client, f"{guest_dir}/a/rpc-test-prog", "#!/bin/sh\necho a\n", "644")
    put(client, f"{guest_dir}/b/rpc-test-prog", "#!/bin/sh\necho b\n", "755")
    path = f"{guest_dir}/a:{guest_dir}/b"
    assert run(client, argv=["rpc-test-prog"], env={"PATH": path})["stdout"] == b"b\n"
    assert fails(client, argv=["rpc-test-prog"], env={"PATH": f"{guest_dir}/a:/no"}).code == "EACCES"


# -- cwd -----------------------------------------------------------------------------------------

def test_cwd_is_the_home_or_the_root(client):
    got = run(client, cmd='pwd -P; cd "$HOME" 2>/dev/null || cd /; pwd -P')["stdout"].splitlines()
    assert got[0] == got[1]


def test_cwd_as_given(client, guest_dir):
    assert run(client, cmd="pwd -P", cwd="/proc")["stdout"] == b"/proc\n"
    assert run(client, argv=["readlink", "/proc/self/cwd"], cwd=guest_dir)["stdout"].decode().strip() == guest_dir
    put(client, f"{guest_dir}/prog", "#!/bin/sh\necho relative\n", "755")
    assert run(client, argv=["./prog"], cwd=guest_dir)["stdout"] == b"relative\n"


@pytest.mark.parametrize("cwd, code, number", [("/no/such/dir", "ENOENT", 2), ("/proc/self/status", "ENOTDIR", 20)])
def test_an_unusable_cwd_is_an_error(client, cwd, code, number):
    e = fails(client, argv=["true"], cwd=cwd)
    assert (e.code, e.errno, e.stage) == (code, number, "chdir")
    assert cwd in e.message or e.path == cwd


def test_cwd_with_a_zero_byte(client):
    assert fails(client, argv=["true"], cwd="/proc\0x").code == "bad_params"


# -- environment ---------------------------------------------------------------------------------

STANDARD = {"PATH", "HOME", "USER", "LOGNAME", "SHELL"}


def environment(client, **spawn):
    out = run(client, argv=["env"], **spawn)["stdout"].decode("utf-8", "surrogateescape")
    return dict(line.split("=", 1) for line in out.splitlines())


def test_the_environment_holds_what_a_user_needs(client):
    env = environment(client)
    assert STANDARD <= set(env) and all(env[name] for name in STANDARD)
    assert env["USER"] == env["LOGNAME"]
    assert env["HOME"].startswith("/") and env["SHELL"].startswith("/")


def test_nothing_else_is_in_it(client):
    assert {n for n in environment(client) if not n.startswith("GUESTD_")} == STANDARD


@pytest.mark.local
def test_nothing_of_the_agents_environment_leaks(guestd):
    env = {"SECRET": "1", "PATH": "/only/for/the/agent", "HOME": "/agent", "LD_LIBRARY_PATH": "/agent",
           "LISTEN_FDS_NAMES": "x", "NOTIFY_SOCKET": "/agent"}
    with guestd(env=env).connect() as c:
        got = environment(c)
        assert not any("agent" in value for value in got.values())
        assert {n for n in got if not n.startswith("GUESTD_")} == STANDARD


def test_env_sets_changes_and_removes(client):
    env = environment(client, env={"A": "1", "B": "two words = x", "EMPTY": "", "HOME": "/elsewhere", "SHELL": None,
                                   "NOT_THERE": None})
    assert env["A"] == "1" and env["B"] == "two words = x" and env["EMPTY"] == ""
    assert env["HOME"] == "/elsewhere"
    assert "SHELL" not in env and "NOT_THERE" not in env
    assert environment(client).get("A") is None, "for that process alone"


def test_values_are_bytes(client):
    got = run(client, cmd='printf %s "$V"', env={"V": b"\xff\xfe"})
    assert got["stdout"] == b"\xff\xfe"


@pytest.mark.parametrize("env", [{"A=B": "x"}, {"": "x"}, {"A\0B": "x"}, {"A": "x\0y"}], ids=repr)
def test_impossible_environments(client, env):
    e = fails(client, argv=["true"], env=env)
    assert e.code == "bad_params" and "env" in e.message


def test_cwd_does_not_follow_home_from_env(client):
    """HOME of the user counts, whatever the process is told."""
    plain = run(client, argv=["readlink", "/proc/self/cwd"])["stdout"]
    assert run(client, argv=["readlink", "/proc/self/cwd"], env={"HOME": "/proc"})["stdout"] == plain


# -- user ----------------------------------------------------------------------------------------

IDS = 'echo $(grep ^Uid: /proc/self/status) $(grep ^Gid: /proc/self/status) G: $(id -G)'


@pytest.mark.parametrize("user, uid, gid", [("0", 0, 0), ("root", 0, 0), ("0:0", 0, 0), ("4321:1234", 4321, 1234),
                                            ("0:1234", 0, 1234), ("root:0", 0, 0), ("4321", 4321, None)])
def test_user_by_name_and_number(client, is_root, user, uid, gid):
    """All four kinds of user and group id are changed, and no group of the agent is left."""
    if not is_root:
        pytest.skip("the agent is not root")
    words = run(client, cmd=IDS, user=user)["stdout"].decode().split()
    assert words[:5] == ["Uid:"] + [str(uid)] * 4
    assert words[5] == "Gid:" and len(set(words[6:10])) == 1
    groups = words[words.index("G:") + 1:]
    if gid is not None:
        assert words[6] == str(gid) and str(gid) in groups
    if uid:
        assert groups == [words[6]], "supplementary groups"
        assert words[6] != "0"


@pytest.mark.local
def test_a_user_of_the_passwd_file(client, is_root):
    if not is_root:
        pytest.skip("the agent is not root")
    env = environment(client, user="nobody")
    assert env["USER"] == env["LOGNAME"] == "nobody"
    got = run(client, cmd="id -un; id -gn; pwd", user="nobody")
    assert got["stdout"] == b"nobody\nnogroup\n/\n", "its home is not there"
    assert run(client, cmd="id -un; id -gn", user="nobody:daemon")["stdout"] == b"nobody\ndaemon\n"
    assert run(client, cmd="id -un; id -gn", user="65534:daemon")["stdout"] == b"nobody\ndaemon\n"


def test_another_user_has_its_own_rights_only(client, is_root, guest_dir):
    if not is_root:
        pytest.skip("the agent is not root")
    put(client, f"{guest_dir}/secret", "x", "600")
    assert run(client, argv=["cat", f"{guest_dir}/secret"], user="4321:1234")["code"] != 0
    caps = run(client, cmd="grep -E '^Cap(Prm|Eff|Inh|Amb)' /proc/self/status", user="4321:1234")["stdout"].split()
    assert len(caps) == 8 and set(caps[1::2]) == {b"0000000000000000"}


def test_a_program_that_user_may_not_run(client, is_root, guest_dir):
    if not is_root:
        pytest.skip("the agent is not root")
    put(client, f"{guest_dir}/prog", "#!/bin/sh\n", "700")
    assert run(client, argv=[f"{guest_dir}/prog"])["code"] == 0
    e = fails(client, argv=[f"{guest_dir}/prog"], user="4321:1234")
    assert (e.code, e.stage) == ("EACCES", "exec")


def test_a_cwd_that_user_may_not_enter(client, is_root, guest_dir):
    if not is_root:
        pytest.skip("the agent is not root")
    assert run(client, cmd=f"mkdir -m 700 {guest_dir}/closed")["code"] == 0
    e = fails(client, argv=["true"], cwd=f"{guest_dir}/closed", user="4321:1234")
    assert (e.code, e.stage) == ("EACCES", "chdir")


@pytest.mark.parametrize("user", ["no-such-user", "no-such-user:0", "0:no-such-group"])
def test_unknown_users_and_groups(client, user):
    e = fails(client, argv=["true"], user=user)
    assert (e.code, e.stage) == ("not_found", "user")
    assert "no-such" in e.message


@pytest.mark.parametrize("user", ["", ":", "0:", ":0", "-1", "99999999999", "4294967295", "0:4294967295", "0:0:0",
                                  "0x10", "root\0"])
def test_impossible_users(client, user):
    """Above all: none of them may become root by accident."""
    assert fails(client, argv=["true"], user=user).code in ("bad_params", "not_found")


# -- a clean start -------------------------------------------------------------------------------

def status(client):
    """/proc/self/status of a fresh process."""
    lines = run(client, argv=["cat", "/proc/self/status"])["stdout"].decode().splitlines()
    return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}


def stat(client):
    """Fields of /proc/self/stat of a fresh process from the state on, after (comm)."""
    return run(client, argv=["cat", "/proc/self/stat"])["stdout"].decode().rpartition(")")[2].split()


def assert_clean(client):
    now = status(client)
    for name in ("SigBlk", "SigIgn", "SigCgt"):
        assert int(now[name][0], 16) == 0, name
    assert run(client, cmd="umask")["stdout"].strip() == b"0022"
    assert run(client, argv=["cat", "/proc/self/oom_score_adj"])["stdout"] == b"0\n"
    # ls has a descriptor of its own for the directory; nothing else may be open.
    listed = run(client, argv=["ls", "-l", "/proc/self/fd"])["stdout"].decode().splitlines()
    targets = dict(line.split()[-3::2] for line in listed if "->" in line)
    assert set(targets) <= {"0", "1", "2", "3"} and "/fd" in targets.get("3", "/fd"), targets


def test_a_process_starts_clean(client):
    assert_clean(client)


def test_a_process_leads_its_own_session(client):
    call = client.open("proc.exec", {"argv": ["cat", "/proc/self/stat"]})
    call.wait()
    fields = call.stdout.decode().rpartition(")")[2].split()
    pid = str(call.events[0]["pid"])
    assert call.stdout.decode().split()[0] == pid
    assert fields[2] == pid and fields[3] == pid, "process group and session"
    assert fields[4] == "0", "no terminal"


def test_a_process_gets_no_descriptor_of_others(client):
    """Not even of calls that are going on beside it."""
    others = [client.open("proc.exec", {"argv": ["cat"], "stdin": True}) for _ in range(10)]
    for other in others:
        other.event("started")
    assert_clean(client)
    for other in others:
        other.end()
        other.wait()


@pytest.mark.local
def test_a_process_starts_clean_whatever_the_agent_started_with(guestd):
    """Signals blocked and ignored, a mask, a score, open descriptors: nothing is handed on."""
    leaked = os.open("/dev/zero", os.O_RDONLY)

    def dirty():
        os.umask(0o077)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGUSR2, signal.SIGCHLD})
        with open("/proc/self/oom_score_adj", "w") as f:
            f.write("500")

    try:
        daemon = guestd(preexec_fn=dirty, pass_fds=[leaked], restore_signals=False)
        with daemon.connect() as c:
            assert_clean(c)
    finally:
        os.close(leaked)


@pytest.mark.local
def test_a_session_of_its_own_is_not_the_agents(client, agent):
    mine = open(f"/proc/{agent.pid}/stat").read().rpartition(")")[2].split()
    theirs = stat(client)
    assert theirs[3] != mine[3] and theirs[2] != mine[2]


@pytest.mark.local
def test_children_that_hang_before_their_exec_hold_up_nobody(guestd, tmp_path):
    """More of them than there are threads to wait for them. Who opens a file that another one has a write lease of waits
    until that one has let go of it (fcntl(2))."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\ncat /proc/self/oom_score_adj\n")
    program.chmod(0o755)
    file = os.open(program, os.O_RDONLY)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    daemon = guestd()
    mine = Path(f"/proc/{daemon.pid}/oom_score_adj").read_text()
    calls = []
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with daemon.connect() as c, daemon.connect() as other:
            calls += [c.open("proc.run", {"argv": [str(program)]}) for _ in range(140)]
            eventually(lambda: len(daemon.children()) == 140, "all of them")
            for pid in random.sample(sorted(daemon.children()), 20):
                os.kill(pid, signal.SIGSTOP)
            for _ in range(10):
                assert other.call("proc.run", {"argv": ["cat", "/proc/self/oom_score_adj"]})["stdout"] == b"0\n"
            assert len(daemon.children()) == 140
            for pid in daemon.children():
                assert os.readlink(f"/proc/{pid}/exe") == os.readlink(f"/proc/{daemon.pid}/exe"), "not executed yet"
                assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "0\n"
                os.kill(pid, signal.SIGCONT)
            os.close(file)
            for call in calls:
                assert call.wait()["stdout"] == b"0\n"
            assert Path(f"/proc/{daemon.pid}/oom_score_adj").read_text() == mine
    finally:
        signal.signal(signal.SIGIO, before)


@pytest.mark.local
def test_a_process_may_run_where_the_agent_may(guestd):
    """Whatever its thread had to do with processors for it."""
    allowed = sorted(os.sched_getaffinity(0))
    for mine in (set(allowed), {allowed[-1]}):
        daemon = guestd(preexec_fn=lambda mine=mine: os.sched_setaffinity(0, mine))
        with daemon.connect() as c:
            for _ in range(10):
                got = c.call("proc.run", {"cmd": "grep ^Cpus_allowed: /proc/self/status"})["stdout"].split()[1]
                assert int(got.replace(b",", b""), 16) == sum(1 << cpu for cpu in mine)


@pytest.mark.local
def test_what_a_spawn_reports_comes_from_a_copy_of_the_agent_as_well(guestd, tmp_path):
    """That is what a child has when all threads wait for others."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = os.open(program, os.O_RDONLY)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    daemon = guestd()
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with daemon.connect() as c, daemon.connect() as other:
            calls = [c.open("proc.run", {"argv": [str(program)]}) for _ in range(130)]
            eventually(lambda: len(daemon.children()) == 130, "all of them")
            for spawn, code, stage in (({"argv": ["/no/such/program"]}, "ENOENT", "exec"),
                                       ({"argv": ["true"], "cwd": "/no/such/dir"}, "ENOENT", "chdir"),
                                       ({"argv": ["/proc"]}, "EACCES", "exec")):
                e = fails(other, **spawn)
                assert (e.code, e.stage) == (code, stage)
            os.close(file)
            for call in calls:
                assert call.wait()["code"] == 0
    finally:
        signal.signal(signal.SIGIO, before)
