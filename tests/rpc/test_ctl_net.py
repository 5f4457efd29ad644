"""guestctl ports, wait-port and forward: a development server of the guest in a browser of the host."""

import contextlib
import functools
import http.client
import http.server
import json
import os
import re
import signal
import socket
import threading

import pytest

from client import LONG, TIMEOUT
from guestctl import UNREACHABLE, USAGE, Listener, interruptible, plain  # noqa: F401 (fixtures)
from net import Server, WebSocket, accept, free_port, listener, port_of, read_all, reset, websocket_echo
from support import error_of, eventually, unique

pytestmark = pytest.mark.local


@contextlib.contextmanager
def forward(ctl, what, *options):
    """guestctl forward: the process and the address that it prints."""
    with ctl.start(*options, "forward", what) as process:
        line = process.stdout.readline().decode()
        found = re.fullmatch(r"listening on (?:\[(.*)\]|(.*)):(\d+)\n", line)
        assert found, (line, process.stderr.read())
        yield process, (found.group(1) or found.group(2), int(found.group(3)))


def exchange(address, data):
    """All that an echo server behind it sends back."""
    with socket.create_connection(address, TIMEOUT) as s:
        def send():
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        thread = threading.Thread(target=send)
        thread.start()
        received = read_all(s)
        thread.join()
    return received


# -- ports, wait-port ----------------------------------------------------------------------------

def test_ports(plain):  # noqa: F811
    with listener("127.0.0.3") as sock:
        done = plain("ports")
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.decode().splitlines()]
        assert lines[0] == ["PORT", "ADDRESS", "PID", "COMMAND", "ID"]
        assert [line[1:3] for line in lines if line[0] == str(port_of(sock))] == [["127.0.0.3", str(os.getpid())]]
        found = json.loads(plain("--json", "ports").stdout)
        assert [p["address"] for p in found if p["port"] == port_of(sock)] == ["127.0.0.3"]


def test_ports_that_open_and_close(plain):  # noqa: F811
    with listener() as before, plain.start("ports", "-w") as process:
        lines = iter(process.stdout.readline, b"")
        assert f"open {port_of(before)} 127.0.0.1 {os.getpid()}\n".encode() in lines
        with listener() as sock:
            port = port_of(sock)
            assert f"opened {port} 127.0.0.1 {os.getpid()}\n".encode() in lines
        assert f"closed {port} 127.0.0.1 {os.getpid()}\n".encode() in lines
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 128 + signal.SIGINT


def test_wait_port(plain, client):  # noqa: F811
    with listener() as sock:
        done = plain("wait-port", str(port_of(sock)))
        assert (done.returncode, done.stdout) == (0, b"127.0.0.1\n")
        assert json.loads(plain("--json", "wait-port", str(port_of(sock))).stdout)["pid"] == os.getpid()
        done = plain("wait-port", "--host", "::1", "--timeout", "0.1", str(port_of(sock)))
        assert done.returncode == 1 and b"timeout" in done.stderr
    name = unique("server")
    client.call("proc.run", {"argv": ["true"], "id": name})
    done = plain("wait-port", "--id", name, "1")
    assert done.returncode == 1 and b"has exited" in done.stderr


@pytest.mark.parametrize("args", [["wait-port"], ["wait-port", "0"], ["wait-port", "65536"], ["wait-port", "x"],
                                  ["wait-port", "1", "2"], ["wait-port", "--timeout", "x", "1"], ["ports", "x"],
                                  ["forward"], ["forward", "80"], ["forward", "1:2", "3:4"], ["forward", ":1"],
                                  ["forward", "1:"], ["forward", "1:0"], ["forward", "1:65536"], ["forward", "65536:1"],
                                  ["forward", "example.com:1:2"], ["forward", "[::1:1:2"], ["forward", "-x", "1:2"]])
def test_usage(plain, args):  # noqa: F811
    done = plain(*args)
    assert done.returncode == USAGE and b"usage: guestctl " + args[0].encode() in done.stderr


# -- forward -------------------------------------------------------------------------------------

def test_http(plain, tmp_path):  # noqa: F811
    """Python's http.server, as a development server, and several requests over one connection."""
    (tmp_path / "index.html").write_text("<h1>hello</h1>")
    (tmp_path / "bundle.js").write_bytes(os.urandom(3_000_000))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    handler.func.protocol_version, handler.func.log_message = "HTTP/1.1", lambda *args: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with forward(plain, f"0:{server.server_port}") as (process, address):
            browser = http.client.HTTPConnection(*address, timeout=LONG)
            for path, status, body in (("/", 200, b"<h1>hello</h1>"), ("/missing", 404, None),
                                       ("/bundle.js", 200, (tmp_path / "bundle.js").read_bytes())):
                browser.request("GET", path)
                response = browser.getresponse()
                content = response.read()
                assert response.status == status
                assert body is None or content == body
            browser.close()
        server.shutdown()


def test_websocket(plain):  # noqa: F811
    with Server(websocket_echo) as server, forward(plain, f"0:{server.port}") as (_, address):
        sockets = [WebSocket(address) for _ in range(3)]
        for size in (0, 1, 125, 126, 65536, 1_000_000):
            for ws in sockets:
                payload = os.urandom(size)
                ws.send(2, payload)
                assert ws.recv() == (2, payload)
        for ws in sockets:
            ws.send(8, b"\x03\xe8")
            assert ws.recv() == (8, b"\x03\xe8")
            assert ws.recv() is None
            ws.close()


@pytest.mark.parametrize("where, host", [("", "127.0.0.1"), ("127.0.0.5:", "127.0.0.5"), ("localhost:", "127.0.0.1"),
                                         ("[::1]:", "::1"), ("::1:", "::1"), ("0.0.0.0:", "0.0.0.0")])
def test_where_it_listens(plain, where, host):  # noqa: F811
    with Server() as server, forward(plain, f"{where}0:{server.port}") as (_, address):
        assert address[0] == host and address[1] > 0
        assert exchange((host, address[1]), b"x") == b"x"


def test_a_port_of_ones_own(plain):  # noqa: F811
    port = free_port()
    with Server() as server, forward(plain, f"{port}:{server.port}") as (_, address):
        assert address == ("127.0.0.1", port)
        other = plain("forward", f"{port}:{server.port}")
        assert other.returncode == 1 and b"cannot listen" in other.stderr


def test_json(plain):  # noqa: F811
    with Server() as server, plain.start("--json", "forward", f"0:{server.port}") as process:
        where = json.loads(process.stdout.readline())
        assert where["address"] == "127.0.0.1"
        assert exchange(("127.0.0.1", where["port"]), b"x" * 1000) == b"x" * 1000


def test_much_and_many(plain):  # noqa: F811
    data = os.urandom(500_000)
    with Server() as server, forward(plain, f"0:{server.port}") as (_, address):
        assert exchange(address, b"") == b""
        assert exchange(address, data * 20) == data * 20
        good = []
        threads = [threading.Thread(target=lambda: good.append(exchange(address, data) == data)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert good == [True] * 50


def test_ends_come_through_in_either_direction(plain):  # noqa: F811
    with listener() as sock, forward(plain, f"0:{port_of(sock)}") as (_, address):
        with socket.create_connection(address, TIMEOUT) as local:
            server = accept(sock)
            local.sendall(b"question")
            local.shutdown(socket.SHUT_WR)
            assert read_all(server) == b"question"
            server.sendall(b"answer" * 100_000)
            server.close()
            assert read_all(local) == b"answer" * 100_000
        with socket.create_connection(address, TIMEOUT) as local:
            server = accept(sock)
            server.sendall(b"greeting")
            server.shutdown(socket.SHUT_WR)
            assert read_all(local) == b"greeting"
            local.sendall(b"thanks" * 100_000)
            local.close()
            assert read_all(server) == b"thanks" * 100_000
            server.close()


def test_resets_come_through_in_either_direction(plain):  # noqa: F811
    with listener() as sock, forward(plain, f"0:{port_of(sock)}") as (_, address):
        with socket.create_connection(address, TIMEOUT) as local:
            server = accept(sock)
            local.sendall(b"x")
            assert server.recv(1) == b"x"
            reset(server)
            with pytest.raises(ConnectionResetError):
                local.recv(1)
        local = socket.create_connection(address, TIMEOUT)
        server = accept(sock)
        local.sendall(b"x")
        assert server.recv(1) == b"x"
        reset(local)
        with pytest.raises(ConnectionResetError):
            server.recv(1)
        server.close()


def test_it_survives_a_tunnel_that_fails(plain):  # noqa: F811
    """Nobody listens in the guest, then somebody does."""
    port = free_port()
    with forward(plain, f"0:{port}") as (process, address):
        for _ in range(3):
            # As soon as during connect(2), which looks again when it wakes up.
            with pytest.raises(ConnectionResetError), socket.create_connection(address, TIMEOUT) as local:
                local.recv(1)
        with Server(sock=listener(port=port)):
            assert exchange(address, b"now") == b"now"
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        assert said.count("Connection refused") == 3 and "connection 3" in said


def test_one_that_does_not_read_holds_up_itself_alone(plain, agent):  # noqa: F811
    flood = b"x" * 65536

    def serve(connection):
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(flood)

    with Server(serve) as server, Server() as other, forward(plain, f"0:{server.port}") as (process, address):
        with socket.create_connection(address, TIMEOUT) as stalled:
            assert stalled.recv(1)
            with socket.create_connection(address, TIMEOUT) as quick:
                seen = 0
                while seen < 20_000_000:
                    seen += len(quick.recv(1 << 20))
            memory = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{process.pid}/status").read()).group(1))
            assert memory < 16 * 1024
            assert stalled.recv(1)
        assert other


def test_local_programs_that_go_away_leave_nothing(plain, guestd):  # noqa: F811
    daemon = guestd()
    ctl = type(plain)(daemon.endpoint)
    with Server() as server, forward(ctl, f"0:{server.port}") as (process, address):
        def descriptors():
            return len(os.listdir(f"/proc/{process.pid}/fd")), daemon.fds()

        before = descriptors()
        for i in range(200):
            s = socket.create_connection(address, TIMEOUT)
            if i % 2:
                s.sendall(b"x" * (i * 100))
            reset(s) if i % 3 else s.close()
        eventually(lambda: descriptors() == before, "descriptors are as before")
        assert exchange(address, b"x") == b"x"


def test_ctrl_c_ends_it(plain):  # noqa: F811
    with listener() as sock, forward(plain, f"0:{port_of(sock)}") as (process, address):
        with socket.create_connection(address, TIMEOUT) as local:
            server = accept(sock)
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT) == 128 + signal.SIGINT
            assert process.stderr.read() == b""
            with pytest.raises(ConnectionResetError):
                server.recv(1)
            with contextlib.suppress(ConnectionResetError):
                assert local.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, TIMEOUT)


def test_the_agent_goes_away(plain, guestd):  # noqa: F811
    daemon = guestd()
    with Server() as server, forward(type(plain)(daemon.endpoint), f"0:{server.port}") as (process, _):
        daemon.stop()
        assert process.wait(TIMEOUT) == UNREACHABLE
        assert b"agent" in process.stderr.read()


def test_no_agent(tmp_path, plain):  # noqa: F811
    assert type(plain)(f"unix:{tmp_path}/nobody")("forward", "0:1").returncode == UNREACHABLE
