"""guestctl: exit statuses, streams, input, signals and errors, seen as a shell sees them."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from client import DATA, EVENT, LONG, NOTIFY, RESPONSE, TIMEOUT, frame, pack
from guestctl import CTL, UNREACHABLE, USAGE, Ctl, Listener, interruptible, plain, script
from support import NUMBERS, eventually, numbers

NOISE = os.urandom(5_000_000)


# -- the other end -------------------------------------------------------------------------------

def splice(source, sink):
    """Copy until the end; then end both, as there is no half-close on hybrid vsock."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for sock in source, sink:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def hybrid_proxy(path, agent_path, port=1024):
    """What Firecracker and its kin put before the guest's vsock ports."""
    def serve(connection):
        line = connection.recv(64)
        if line != f"CONNECT {port}\n".encode():
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.connect(str(agent_path))
            # One write: whoever reads past the newline loses what stands behind it.
            connection.sendall(b"OK 1073741824\n" + frame([NOTIFY, "keepalive", {}]))
            threading.Thread(target=splice, args=(agent, connection), daemon=True).start()
            splice(connection, agent)
    return Listener(path, serve)


@pytest.fixture(params=["direct", pytest.param("hybrid", marks=pytest.mark.local)])
def ctl(agent, request, tmp_path):
    """guestctl at the shared agent, once as it listens and once behind a hybrid proxy."""
    if request.param == "direct":
        yield Ctl(agent.endpoint)
        return
    proxy = hybrid_proxy(tmp_path / "vm.sock", agent.sock)
    yield Ctl(f"uds:{tmp_path}/vm.sock:1024")
    proxy.close()


def b64(data):
    return {"base64": base64.b64encode(data).decode()}


# -- exec: the end -------------------------------------------------------------------------------

@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_status_is_the_commands(ctl, code):
    assert ctl.exec("sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL, signal.SIGTERM])
def test_exit_status_of_a_killed_command(ctl, number):
    done = ctl.exec("sh", "-c", f"kill -{int(number)} $$; sleep 5")
    assert done.returncode == 128 + number and done.stderr == b""


def test_timeout(plain):
    done = plain.exec("--timeout", "0.3", "sleep", "60")
    assert done.returncode == 128 + signal.SIGTERM
    assert b"timeout" in done.stderr


def test_missing_command(ctl):
    done = ctl.exec("/nonexistent/program")
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.startswith(b"guestctl: exec: ENOENT (exec): ")
    assert done.stderr.count(b"\n") == 1


def test_missing_command_as_json(plain):
    done = plain("--json", "exec", "/nonexistent/program")
    error = json.loads(done.stderr)
    assert done.returncode == 1 and error["code"] == "ENOENT" and error["stage"] == "exec"
    assert error["message"]


# -- exec: the streams ---------------------------------------------------------------------------

def test_outputs_are_kept_apart(ctl):
    done = ctl.exec("sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 5_000_000])
def test_input_comes_back_whole(ctl, size):
    """Up and down at once: neither may wait for the other."""
    done = ctl.exec("-i", "cat", input=NOISE[:size])
    assert done.returncode == 0 and done.stdout == NOISE[:size]


def test_large_stderr(ctl):
    done = ctl.exec("-i", "sh", "-c", "cat >&2", input=NOISE)
    assert done.stderr == NOISE and done.stdout == b""


def test_output_that_is_read_late(ctl):
    """More than all buffers on the way: the command is held back, and nothing is lost."""
    with ctl.start("exec", "sh", "-c", f"{numbers(5_000_000)}; echo over >&2") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        out, err = process.communicate(timeout=LONG)
    assert out == NUMBERS[:5_000_000] and err == b"over\n"


def test_output_comes_as_it_is_written(ctl):
    with ctl.start("exec", "-i", "sh", "-c", "read a; echo got $a; read b; echo got $b >&2") as process:
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got one\n"
        process.stdin.write(b"two\n")
        process.stdin.flush()
        assert process.stderr.readline() == b"got two\n"
        assert process.wait(TIMEOUT) == 0


def test_without_i_there_is_no_input(ctl):
    done = ctl.exec("cat", input=b"not for you")
    assert done.returncode == 0 and done.stdout == b""


def test_input_that_nobody_reads(ctl):
    done = ctl.exec("-i", "sh", "-c", "exec <&-; exit 5", input=NOISE)
    assert done.returncode == 5


def test_closed_standard_descriptors(plain):
    """Descriptor 0 to 2 closed by the caller: the socket must not take their place."""
    command = f"{CTL} -c {plain.endpoint} exec -i sh -c 'cat; echo out; echo err >&2; exit 3' <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], timeout=TIMEOUT).returncode == 3


def test_output_with_no_room(plain):
    with open("/dev/full", "wb") as full, plain.start("exec", "echo", "lost", stdout=full) as process:
        assert process.wait(TIMEOUT) == 1
        assert b"No space left" in process.stderr.read()


def test_reader_that_goes_away(ctl, alive):
    """As in `guestctl exec yes | head`: the command does not go on for nobody."""
    with ctl.start("exec", "sh", "-c", "echo $$; exec yes") as process:
        pid = int(process.stdout.readline())
        process.stdout.close()
        assert process.wait(TIMEOUT) == 128 + signal.SIGPIPE
    eventually(lambda: not alive(pid), "the command is stopped")


# -- exec: signals -------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_command(ctl, alive, number):
    with ctl.start("exec", "sh", "-c", "echo $$; sleep 60; echo never") as process:
        pid = int(process.stdout.readline())
        process.send_signal(number)
        assert process.wait(TIMEOUT) == 128 + number
        assert process.stdout.read() == b"" and process.stderr.read() == b""
    assert not alive(pid)


def test_signal_while_output_floods(ctl):
    with ctl.start("exec", "yes") as process:
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        process.stdout.read(1_000_000)
        reader.start()
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 128 + signal.SIGINT


@pytest.mark.parametrize("command", ["trap '' TERM; echo $$; while :; do sleep 0.1; done",
                                     "echo $$; exec yes"])
def test_second_signal_ends_guestctl(plain, kill, command):
    """The command ignores the first one, or our own output is stalled: in both cases at once."""
    with plain.start("exec", "sh", "-c", command) as process:
        pid = int(process.stdout.readline())
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == -signal.SIGTERM
    kill(pid)


# -- exec: options -------------------------------------------------------------------------------

def test_directory(plain):
    assert plain.exec("-C", "/proc", "pwd").stdout == b"/proc\n"


def test_environment(plain):
    done = plain.exec("-e", "A=1", "-e", "B=x=y z", "-e", "EMPTY=", "-e", "A=2",
                      "sh", "-c", 'echo "$A,$B,${EMPTY-unset}"')
    assert done.stdout == b"2,x=y z,\n"


def test_user(plain, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    assert plain.exec("-u", "65534:65534", "id", "-u").stdout == b"65534\n"


def test_options_end_where_the_command_begins(plain):
    assert plain.exec("echo", "-i", "--id", "-u").stdout == b"-i --id -u\n"
    assert plain.exec("--", "echo", "--").stdout == b"--\n"


def test_arguments_are_bytes(plain):
    assert plain.exec("printf", "%s", b"\xff\xfe caf\xc3\xa9").stdout == b"\xff\xfe caf\xc3\xa9"


def test_id_runs_once(plain, guest_dir):
    command = ["exec", "--id", "ctl-once", "sh", "-c", f"echo run | tee -a {guest_dir}/runs; exit 4"]
    first, second = plain(*command), plain(*command)
    assert first.returncode == second.returncode == 4
    assert first.stdout == second.stdout == b"run\n"
    assert plain.exec("cat", f"{guest_dir}/runs").stdout == b"run\n"


# -- call ----------------------------------------------------------------------------------------

def test_call_with_bytes_both_ways(ctl):
    params = {"argv": ["cat"], "stdin": True, "input": b64(bytes(range(256)))}
    (result,) = ctl.call("proc.run", json.dumps(params))
    assert result["code"] == 0 and result["signal"] is None
    assert result["stdout"] == b64(bytes(range(256))) and result["stderr"] == b64(b"")


def test_call_with_text(plain):
    (result,) = plain.call("--text", "proc.run", '{"cmd": "echo caf\\u00e9; printf \\"\\\\\\\\377\\" >&2"}')
    assert result["stdout"] == "café\n" and result["stderr"] == b64(b"\xff")


def test_call_without_parameters(plain):
    (result,) = plain.call("system.ping")
    assert result["time_us"] > 0 and result["monotonic_us"] > 0


def test_call_with_parameters_from_stdin(plain):
    big = os.urandom(700_000)
    params = {"argv": ["cat"], "stdin": True, "input": b64(big), "max_output": 1}
    (result,) = plain.call("proc.run", "-", input=json.dumps(params).encode())
    assert result["stdout_bytes"] == len(big) and result["stdout"] == b64(big[:1])


def test_call_prints_events_data_and_result(ctl):
    started, *data, result = ctl.call("proc.exec", '{"cmd": "echo out; sleep 0.2; echo err >&2; exit 3"}')
    assert started["type"] == "started" and started["pid"] > 0
    assert data == [{"channel": 1, "data": b64(b"out\n")}, {"channel": 2, "data": b64(b"err\n")}]
    assert result["code"] == 3


def test_call_with_input(ctl):
    lines = ctl.call("-i", "proc.exec", '{"argv": ["cat"], "stdin": true}', input=NOISE)
    data = b"".join(base64.b64decode(line["data"]["base64"]) for line in lines if "data" in line)
    assert data == NOISE and lines[-1]["code"] == 0


def test_call_with_arguments_that_are_no_utf8(plain):
    (result,) = plain.call("proc.run", json.dumps({"argv": ["printf", "%s", b64(b"\xff\xfe")]}))
    assert result["stdout"] == b64(b"\xff\xfe")


def test_call_fails_as_the_agent_says(plain):
    done = plain("call", "no.such")
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.startswith(b"guestctl: call: unknown_method: ")
    error = json.loads(plain("--json", "call", "proc.run", '{"bogus": 1}').stderr)
    assert error["code"] == "bad_params" and "bogus" in error["message"]


@pytest.mark.parametrize("params, part", [
    ("{", b"not JSON"),
    ('{"a": 1, "a": 2}', b"not JSON"),
    ('{"input": {"base64": "!!!!"}}', b"not base64"),
    ('{"input": {"base64": "abc"}}', b"not base64"),
])
def test_call_with_bad_json(plain, params, part):
    done = plain("call", "proc.run", params)
    assert done.returncode == USAGE and part in done.stderr and done.stdout == b""


# -- ping, info, help ----------------------------------------------------------------------------

def test_ping(ctl):
    assert b"3 round trips: min " in ctl("ping", "-n", "3").stdout
    times = json.loads(ctl("--json", "ping").stdout)
    assert times["count"] == 10
    assert 0 < times["min_us"] <= times["median_us"] <= times["max_us"]


def test_info(ctl):
    info = json.loads(ctl("--json", "info").stdout)
    assert info["agent"] == "guestd" and info["protocol"] == 1 and info["features"]
    lines = dict(line.split(None, 1) for line in ctl("info").stdout.decode().splitlines())
    assert lines["agent"] == "guestd" and lines["instance"] == info["instance"]


def test_help_and_version(plain):
    done = plain("--help")
    assert done.returncode == 0
    for command in (b"exec", b"shell", b"start", b"ps", b"logs", b"attach", b"stop", b"kill", b"wait",
                    b"forget", b"events", b"call", b"ping", b"info"):
        assert b"\n  " + command + b" " in done.stdout
        alone = plain(command.decode(), "--help")
        assert alone.returncode == 0
        assert alone.stdout.startswith(b"usage: guestctl " + command)
    assert plain("--version").stdout.startswith(b"guestctl ")


def test_full_disk_is_a_failure(plain):
    with open("/dev/full", "wb") as full, plain.start("--json", "info", stdout=full) as process:
        assert process.wait(TIMEOUT) == 1


# -- what cannot work ----------------------------------------------------------------------------

@pytest.mark.parametrize("args", [
    [], ["nonsense"], ["--nonsense", "ping"], ["-c"],
    ["exec"], ["exec", "--"], ["exec", "-x", "true"], ["exec", "-u"], ["exec", "--nonsense", "true"],
    ["exec", "-e", "NAME", "true"], ["exec", "-e", "=value", "true"],
    ["exec", "--timeout", "soon", "true"], ["exec", "--timeout", "-1", "true"],
    ["exec", "--timeout", "nan", "true"],
    ["call"], ["call", "a", "{}", "b"], ["call", "-i", "proc.exec", "-"],
    ["ping", "-n", "0"], ["ping", "-n", "x"], ["ping", "there"], ["info", "there"],
], ids=" ".join)
def test_usage(plain, args):
    done = plain(*args)
    assert done.returncode == USAGE and done.stderr and done.stdout == b""


@pytest.mark.parametrize("endpoint", ["nonsense", "fd:3", "vsock:1024", "unix:" + "x" * 200])
def test_bad_endpoint(endpoint):
    assert Ctl(endpoint)("ping").returncode == USAGE


def test_endpoint_from_the_environment(agent):
    for environment, status in ({"GUESTD_ENDPOINT": agent.endpoint}, 0), ({}, USAGE):
        done = subprocess.run([CTL, "ping"], env=environment, capture_output=True, timeout=TIMEOUT)
        assert done.returncode == status


@pytest.mark.parametrize("answer", [b"", b"OK 1073741824\n", b"NO\n"])
def test_unreachable_behind_a_proxy(tmp_path, answer):
    """The port is closed; it was open and closes; whatever this is, it is no proxy."""
    def serve(connection):
        connection.recv(64)
        connection.sendall(answer)
    listener = Listener(tmp_path / "vm.sock", serve)
    done = Ctl(f"uds:{tmp_path}/vm.sock:1024")("--json", "exec", "true")
    listener.close()
    assert done.returncode == UNREACHABLE
    assert json.loads(done.stderr)["code"] == "unreachable"


def test_unreachable(tmp_path):
    for endpoint in f"unix:{tmp_path}/none", f"uds:{tmp_path}/none:1024":
        done = Ctl(endpoint)("exec", "true")
        assert done.returncode == UNREACHABLE
        assert b"guestctl: exec: " in done.stderr and b"none" in done.stderr


@pytest.mark.local
def test_token(guestd, tmp_path):
    (tmp_path / "right").write_bytes(b"s3cret\n")
    (tmp_path / "wrong").write_bytes(b"guess\n")
    ctl = Ctl(guestd("--token-file", tmp_path / "right").endpoint)
    assert ctl("--token-file", str(tmp_path / "right"), "exec", "echo", "in").stdout == b"in\n"
    for args in ([], ["--token-file", str(tmp_path / "wrong")]):
        done = ctl(*args, "exec", "true")
        assert done.returncode == 1 and b"unauthorized" in done.stderr
    done = ctl("--token-file", str(tmp_path / "none"), "exec", "true")
    assert done.returncode == 1 and b"none" in done.stderr


# -- an agent that misbehaves --------------------------------------------------------------------

def test_connection_lost_during_a_call(script):
    done = Ctl(script(lambda number: frame([DATA, number, 1, b"half"])))("exec", "true")
    assert done.returncode == UNREACHABLE and done.stdout == b"half"
    assert b"closed the connection" in done.stderr


def test_goodbye(script):
    goodbye = frame([NOTIFY, "goodbye", {"code": "protocol_error", "message": "that was wrong"}])
    done = Ctl(script(lambda _: goodbye))("call", "any")
    assert done.returncode == UNREACHABLE and b"that was wrong" in done.stderr


@pytest.mark.parametrize("raw", [
    b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\1\x90", b"\0\0\0\2\x91\x01",
    b"\0\0\0\5\xdd\xff\xff\xff\xff", frame([RESPONSE, 1, "error", None]), frame([EVENT, 1, 2]),
    frame([DATA, 1, 1, 5]),
])
def test_garbage(script, raw):
    done = Ctl(script(lambda _: raw))("call", "any")
    assert done.returncode == UNREACHABLE and done.stderr.startswith(b"guestctl: call: ")


def test_messages_and_fields_of_the_future(script):
    def answer(number):
        return (frame([99, number, "unknown"]) + frame([EVENT, number, {"type": "unknown"}])
                + frame([NOTIFY, "unknown", {}])
                + frame([RESPONSE, number, None, {"code": 3, "signal": None, "unknown": [1]}, "more"]))
    assert Ctl(script(answer))("exec", "true").returncode == 3


def test_text_that_is_no_text(script):
    """A str that is not UTF-8, as value and as key, and numbers that JSON does not know."""
    def answer(number):
        result = (b"\x84" b"\xa2\xff\xfe" b"\x01" b"\xa1s" b"\xa2\xff\xfe"
                  b"\xa1f" b"\xcb\x7f\xf8\0\0\0\0\0\0" b"\xa1u" b"\xcf" + 8 * b"\xff")
        body = b"\x94\x01" + pack(number) + b"\xc0" + result
        return len(body).to_bytes(4, "big") + body
    (result,) = Ctl(script(answer)).call("any")
    assert result.pop("s") == b64(b"\xff\xfe") and result.pop("f") is None
    assert result.pop("u") == float(2**64 - 1) and list(result.values()) == [1]


def test_an_agent_does_not_write_to_the_terminal(script):
    """Control characters of an untrusted guest: escape sequences could retitle or repaint it."""
    error = {"code": "EIO\x1b[2J", "message": "a\x07b\x9bc é\n"}
    done = Ctl(script(lambda number: frame([RESPONSE, number, error, None])))("exec", "true")
    assert done.returncode == 1
    assert done.stderr.decode() == "guestctl: exec: EIO\\x1b[2J: a\\x07b\\xc2\\x9bc é\\x0a\n"
