"""A development server of the guest, previewed on the host: over virtio-vsock, by real clients."""

import contextlib
import http.client
import os
import subprocess

import pytest

from client import LONG, TIMEOUT
from net import WebSocket
from support import ROOT, error_of

GUESTCTL = os.environ.get("GUESTCTL_BIN") or ROOT / "build" / "guestctl"

# An upgrade, and then what comes goes back: frames in their mask, which the client takes.
WEBSOCKET = r"""#!/bin/sh
while read -r line; do
    line=$(printf %s "$line" | tr -d '\r')
    [ -n "$line" ] || break
    case $line in Sec-WebSocket-Key:*) key=${line#*: } ;; esac
done
accept=$(printf %s "${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11" | sha1sum | cut -c1-40 | xxd -r -p | base64)
printf 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
printf 'Sec-WebSocket-Accept: %s\r\n\r\n' "$accept"
exec cat
"""


@pytest.fixture(scope="module")
def site(guest):
    """A directory of the guest with a page, a large file and a program."""
    large = os.urandom(1_000_000)
    with guest.connect() as c:
        c.call("fs.write_files", {"files": [
            {"path": "/tmp/site/index.html", "data": b"<h1>hello from the guest</h1>"},
            {"path": "/tmp/site/ws", "data": WEBSOCKET.encode(), "mode": 0o755}]})
        call = c.open("fs.write", {"path": "/tmp/site/large"})
        call.write(large, LONG)
        call.end()
        call.wait(LONG)
    yield large
    guest.sh("rm -r /tmp/site")


@pytest.fixture
def server(guest):
    """server(id, *argv): a process of the guest, ended with the test."""
    started = []

    def start(name, *argv):
        started.append(name)
        return guest.call("proc.start", {"id": name, "argv": list(argv)})

    yield start
    for name in started:
        guest.call("proc.stop", {"id": name, "signal": "KILL"})
        guest.call("proc.remove", {"id": name})


def guestctl(guest, *args):
    done = subprocess.run([GUESTCTL, "-c", guest.vm.endpoint, *args], capture_output=True, timeout=LONG,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@contextlib.contextmanager
def forward(guest, port):
    with subprocess.Popen([GUESTCTL, "-c", guest.vm.endpoint, "forward", f"0:{port}"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as process:
        try:
            host, _, number = process.stdout.readline().decode().removeprefix("listening on ").rpartition(":")
            yield host, int(number)
        finally:
            process.kill()


def test_a_development_server(guest, site, server):
    server("dev-server", "httpd", "-f", "-p", "127.0.0.1:3000", "-h", "/tmp/site")
    assert guestctl(guest, "wait-port", "--id", "dev-server", "3000") == "127.0.0.1\n"
    with forward(guest, 3000) as address:
        browser = http.client.HTTPConnection(*address, timeout=LONG)
        for path, status, body in (("/", 200, b"<h1>hello from the guest</h1>"), ("/large", 200, site),
                                   ("/missing", 404, None)):
            browser.request("GET", path)
            response = browser.getresponse()
            content = response.read()
            assert response.status == status
            assert body is None or content == body
            browser.close()


def test_a_websocket(guest, site, server):
    server("ws-server", "nc", "-ll", "-p", "3001", "-e", "/tmp/site/ws")
    guestctl(guest, "wait-port", "3001")
    with forward(guest, 3001) as address:
        sockets = [WebSocket(address) for _ in range(2)]
        for size in (1, 126, 70_000):
            for ws in sockets:
                payload = os.urandom(size)
                ws.send(2, payload)
                assert ws.recv() == (2, payload)
        for ws in sockets:
            ws.close()


def test_whose_port_it_is(guest, server):
    def told(call):
        return [(e["type"], e["pid"]) for e in call.events if e.get("port") == 3002]

    with guest.connect() as c:
        watch, events = c.open("net.watch"), c.open("system.events")
        watch.event("ready", TIMEOUT)
        pid = server("by-cgroup", "sh", "-c", "nc -ll -p 3002 -e cat; true")["pid"]
        watch.pump(lambda: any(e.get("port") == 3002 for e in watch.events), what="it opens")
        entry, = (p for p in c.call("net.ports") if p["port"] == 3002)
        assert entry["id"] == "by-cgroup" and entry["comm"] == "nc" and entry["pid"] > pid
        c.call("proc.signal", {"id": "by-cgroup", "signal": "KILL", "scope": "tree"})
        watch.pump(lambda: watch.events[-1]["type"] == "closed", what="it closes")
        events.pump(lambda: told(events) == [("port_opened", entry["pid"]), ("port_closed", entry["pid"])], what="both are told")


def test_the_kernel_is_asked_by_netlink(guest):
    """Not by reading a line for every connection of the guest: the module is there."""
    assert "tcp_diag" in guest.read("/proc/modules")


def test_a_server_that_dies_before_it_listens(guest, server):
    server("dies", "sh", "-c", "exit 4")
    with guest.connect() as c:
        e = error_of(c.call, "net.wait", {"port": 3003, "id": "dies"})
        assert e.code == "not_found" and e.data["code"] == 4
