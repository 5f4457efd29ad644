"""guestctl at a terminal: exec -t, shell, and attach to a process that has a terminal."""

import signal
import subprocess
import threading

import pytest

from client import EVENT, REQUEST, RESPONSE, TIMEOUT, frame
from guestctl import (CTL, HELLO, UNREACHABLE, Ctl, Listener, Terminal, interruptible, plain,
                      read_message, script)
from support import eventually

pytestmark = pytest.mark.local      # guestctl's own doing: over vsock, test_ctl.py is enough

# Says that it is ready, and then what happens to it.
SITTER = "trap 'echo caught; exit 9' INT; trap stty\\ size WINCH; stty size; while :; do sleep 0.1; done"


@pytest.fixture
def terminal(agent):
    """terminal(*args): guestctl at the shared agent, on a terminal."""
    opened = []

    def start(*args, **kwargs):
        opened.append(Terminal(agent.endpoint, *args, **kwargs))
        return opened[-1]

    yield start
    for t in opened:
        t.__exit__()


@pytest.fixture
def silent(tmp_path):
    """An agent that says once what a call begins with, and then nothing more."""
    listeners = []
    quiet = threading.Event()

    def start(answer):
        def serve(connection):
            while True:
                kind, number, method = read_message(connection)[:3]
                if kind == REQUEST and method == "hello":
                    connection.sendall(frame([RESPONSE, number, None, HELLO]))
                elif kind == REQUEST:
                    connection.sendall(answer(number))
                    quiet.wait()
                    return
        listeners.append(Listener(tmp_path / "silent", serve))
        return f"unix:{tmp_path}/silent"

    yield start
    quiet.set()
    for listener in listeners:
        listener.close()


def started(number):
    return frame([EVENT, number, {"type": "started", "id": "one", "pid": 7}])


# -- shell ---------------------------------------------------------------------------------------

def test_shell(terminal):
    t = terminal("shell")
    t.type(b"echo $((40 + 2)).\r")
    t.expect(b"\r42.")
    assert t.is_raw()
    t.type(b"tty >/dev/null && stty size\r")
    t.expect(b"40 100")
    t.type(b"exit 7\r")
    assert t.ends() == 7


def test_control_d_ends_a_shell(terminal):
    t = terminal("shell")
    t.type(b"PS1=rea''dy:\r")
    t.expect(b"ready:")         # before the prompt it would not be read as a key
    t.type(b"\x04")
    assert t.ends() == 0


def test_shell_as_a_user(terminal, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    # A user without an entry has no shell that is known, so it is the one that all have.
    t = terminal("shell", "-u", "4711:4711")
    t.type(b"echo uid $(id -u).\r")
    t.expect(b"uid 4711.")
    t.type(b"exit\r")
    assert t.ends() == 0


def test_shell_with_an_environment_and_a_directory(terminal):
    t = terminal("shell", "-e", "COLOUR=blue", "-C", "/proc")
    t.type(b"echo $COLOUR in $PWD.\r")
    t.expect(b"blue in /proc.")
    t.type(b"exit\r")
    assert t.ends() == 0


def test_shell_that_reads_a_script(plain):
    """Without a terminal of our own there still is one in the guest, and an end of input."""
    done = plain("shell", input=b"tty\nexit 3\n")
    assert done.returncode == 3 and b"/dev/pts/" in done.stdout


# -- exec -t -------------------------------------------------------------------------------------

def test_all_three_are_one_terminal(terminal):
    t = terminal("exec", "-t", "sh", "-c", "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three; echo err >&2")
    t.expect(b"three\r\nerr\r\n")
    assert t.ends() == 0


def test_exec_it(terminal):
    t = terminal("exec", "-it", "sh", "-c", "read a; echo got $a")
    t.type(b"word\r")
    t.expect(b"got word\r\n")
    assert t.ends() == 0


def test_control_c_reaches_the_program(terminal):
    t = terminal("exec", "-t", "sh", "-c", SITTER)
    t.expect(b"40 100\r\n")
    t.type(b"\x03")
    t.expect(b"caught\r\n")
    assert t.ends() == 9


def test_keys_are_not_touched(terminal):
    """Not even those that a terminal would keep for itself."""
    keys = bytes(range(1, 32)) + b"\x7f\xff"
    t = terminal("exec", "-t", "sh", "-c",
                 f"stty raw -echo; echo ready; head -c {len(keys)} | od -An -v -tx1 | tr -d ' \\n'; echo .")
    t.expect(b"ready")
    t.type(keys)
    assert t.expect(b".").strip() == keys.hex().encode()
    assert t.ends() == 0


def test_resize(terminal):
    t = terminal("exec", "-t", "sh", "-c", SITTER, rows=30, cols=90)
    t.expect(b"30 90\r\n")
    t.resize(51, 132)
    t.expect(b"51 132\r\n")
    t.resize(20, 40)
    t.expect(b"20 40\r\n")
    t.type(b"\x03")
    assert t.ends() == 9


def test_resize_while_output_floods(terminal):
    t = terminal("exec", "-t", "sh", "-c", "trap 'stty size; exit' WINCH; while :; do echo flood; done")
    t.expect(b"flood")
    t.resize(51, 132)
    t.expect(b"51 132\r\n")
    assert t.ends() == 0


def test_type_of_terminal(terminal):
    t = terminal("exec", "-t", "sh", "-c", "echo $TERM.", TERM="vt220")
    t.expect(b"vt220.")
    assert t.ends() == 0


def test_exit_status_and_signals(terminal):
    for command, status in ("exit 0", 0), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -HUP $$", 129):
        assert terminal("exec", "-t", "sh", "-c", command).ends() == status


def test_standard_input_is_no_terminal(plain):
    """Then nothing is set raw, and its end is the end of the input there."""
    done = plain("exec", "-t", "sh", "-c", "cat; tty; stty size", input=b"line\n")
    assert done.returncode == 0
    assert b"line\r\n" in done.stdout and b"/dev/pts/" in done.stdout and b"24 80\r\n" in done.stdout


def test_only_standard_output_is_a_terminal(terminal):
    t = terminal("exec", "-t", "sh", "-c", "stty size; exit 4", stdin=subprocess.DEVNULL)
    t.expect(b"40 100\r")      # and another one from our terminal, which is not raw
    assert t.ends() == 4


def test_without_t_nothing_is_raw(terminal, alive):
    """Ctrl-C is the terminal's own then: it stops the command."""
    t = terminal("exec", "sh", "-c", "echo $$.; sleep 60")
    pid = int(t.expect(b"."))
    assert not t.is_raw()
    t.type(b"\x03")
    assert t.ends() == 130
    assert not alive(pid)


def test_much_output(terminal):
    t = terminal("exec", "-t", "sh", "-c", "seq 1 30000; echo over")
    shown = t.expect(b"over")
    assert shown == b"".join(b"%d\r\n" % i for i in range(1, 30001))
    assert t.ends() == 0


# -- every way out gives the terminal back ---------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal(terminal, alive, number):
    t = terminal("exec", "-t", "sh", "-c", "echo $$.; while :; do sleep 0.1; done")
    pid = int(t.expect(b"."))
    assert t.is_raw()
    t.process.send_signal(number)
    assert t.ends() == 128 + number
    assert not alive(pid)


def test_user_hangs_up(terminal, alive):
    """The window is closed: what ran in it goes, too."""
    t = terminal("exec", "-t", "sh", "-c", "echo $$.; while :; do sleep 0.1; done")
    pid = int(t.expect(b"."))
    t.hang_up()
    assert t.process.wait(TIMEOUT) == 128 + signal.SIGHUP
    assert not alive(pid)


def test_second_signal_while_the_agent_is_silent(silent):
    with Terminal(silent(started), "exec", "-t", "any") as t:
        eventually(t.is_raw, "the terminal is raw")
        t.process.send_signal(signal.SIGTERM)
        eventually(lambda: not t.is_raw(), "the terminal is given back at once")
        t.process.send_signal(signal.SIGTERM)
        assert t.ends() == -signal.SIGTERM


def test_connection_lost(script):
    with Terminal(script(started), "exec", "-t", "any") as t:
        t.expect(b"closed the connection\r\n")
        assert t.ends() == UNREACHABLE


def test_command_that_cannot_run(terminal):
    t = terminal("exec", "-t", "/nonexistent/program")
    t.expect(b"guestctl: exec: ENOENT (exec): ")
    assert t.ends() == 1


def test_error_behind_the_start(script):
    def answer(number):
        return started(number) + frame([RESPONSE, number, {"code": "internal", "message": "so sorry"}, None])
    with Terminal(script(answer), "exec", "-t", "any") as t:
        t.expect(b"guestctl: exec: internal: so sorry\r\n")
        assert t.ends() == 1


def test_remark_on_a_raw_terminal(script):
    """Lines begin at the left, also while the terminal does not see to it."""
    def answer(number):
        gap = {"type": "gap", "channel": 1, "lost": 12, "offset": 12}
        return started(number) + frame([EVENT, number, gap]) + frame([RESPONSE, number, None, {"code": 0}])
    with Terminal(script(answer), "exec", "-t", "any") as t:
        t.expect(b"12 bytes of its output are gone\r\n")
        assert t.ends() == 0


# -- leaving ---------------------------------------------------------------------------------------

def test_escape(terminal, alive, kill):
    t = terminal("exec", "-t", "--escape", "~", "sh", "-c", "echo $$.; cat")
    pid = int(t.expect(b"."))
    t.type(b"x~.\r")            # inside a line it means nothing
    t.expect(b"x~.\r\nx~.\r\n")
    t.type(b"~~.\r")            # typed twice it is itself
    t.expect(b"~.\r\n~.\r\n")
    t.type(b"~x\r")
    t.expect(b"~x\r\n~x\r\n")
    t.type(b"~")
    t.type(b".")
    t.expect(b"detached: ")
    assert t.ends() == 0
    assert alive(pid)
    kill(pid)


def test_escape_from_an_agent_that_is_silent(silent):
    with Terminal(silent(started), "shell", "--escape", "^]") as t:
        eventually(t.is_raw, "the terminal is raw")
        t.type(b"\x1d.")
        t.expect(b"guestctl: shell: detached: one goes on\r\n")
        assert t.ends() == 0


def test_no_escape_where_none_was_asked_for(terminal):
    t = terminal("exec", "-t", "sh", "-c", "echo ready; cat")
    t.expect(b"ready\r\n")
    t.type(b"~.\r")
    t.expect(b"~.\r\n~.\r\n")
    t.type(b"\x04")
    assert t.ends() == 0


@pytest.mark.parametrize("escape", ["", "ab", "^", "^@"])
def test_no_such_escape(plain, escape):
    done = plain("exec", "-t", "--escape", escape, "true")
    assert (done.returncode == 2) == (escape != "^")    # ^ alone is a character like others


# -- attach ----------------------------------------------------------------------------------------

def test_attach_to_a_terminal(terminal, plain, alive):
    id = plain("start", "-t", "sh", "-c", "echo $$.; " + SITTER).stdout.decode().strip()
    t = terminal("attach", id, rows=33, cols=77)
    pid = int(t.expect(b"."))
    t.expect(b"33 77\r\n")      # the size is ours now
    assert t.is_raw()
    t.resize(44, 88)
    t.expect(b"44 88\r\n")
    t.type(b"\r~.")
    t.expect(f"detached: {id} goes on".encode())
    assert t.ends() == 0
    assert alive(pid)

    t = terminal("attach", id)
    t.expect(b"33 77\r\n")      # what it wrote before, again
    t.type(b"\x03")             # to the program, not to us
    t.expect(b"caught\r\n")
    assert t.ends() == 9


def test_attach_without_a_terminal_there(terminal, plain, alive, kill):
    """Ctrl-C ends the attach, and never the process."""
    id = plain("start", "-i", "sh", "-c", "echo $$.; read a; echo got $a; sleep 60").stdout.decode().strip()
    t = terminal("attach", id)
    pid = int(t.expect(b"."))
    assert not t.is_raw()
    t.type(b"line\r")
    t.expect(b"got line\r\n")
    t.type(b"\x03")
    t.expect(b"detached: ")
    assert t.ends() == 0
    assert alive(pid)
    kill(pid)
