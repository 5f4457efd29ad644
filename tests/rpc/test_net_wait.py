"""net.wait: as soon as a connection would be accepted, and not a moment before."""

import os
import select
import socket
import threading

import pytest

from client import LONG
from net import accept, free_port, listener, port_of
from support import assert_exit, error_of, go, unique


def wait(client, port, **params):
    return client.call("net.wait", {"port": port, **params})


@pytest.mark.local
@pytest.mark.parametrize("host, address", [("127.0.0.1", "127.0.0.1"), ("127.1.2.3", "127.1.2.3"), ("0.0.0.0", "127.0.0.1"),
                                           ("::1", "::1"), ("::", "::1"), ("::ffff:127.0.0.1", "127.0.0.1")])
def test_the_address_is_one_to_connect_to(client, host, address):
    with listener(host) as sock:
        result = wait(client, port_of(sock))
        assert result == {"waited_ms": result["waited_ms"], "address": address, "pid": os.getpid()}
        with socket.create_connection((address, port_of(sock))):
            pass


@pytest.mark.local
def test_another_address_of_the_guest(client):
    """That of an interface, where there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))         # sends nothing
            own = probe.getsockname()[0]
        except OSError:
            own = "127.9.9.9"
    with listener(own) as sock:
        assert wait(client, port_of(sock))["address"] == own
        assert wait(client, port_of(sock), host=own)["address"] == own


@pytest.mark.local
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
def test_it_waits_until_something_listens(client, host):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    call = client.open("net.wait", {"port": port_of(sock)})
    for _ in range(5):
        client.call("net.ports")
        assert not call.done, call.error or call.result
    sock.listen()
    result = call.wait()
    assert result["waited_ms"] >= 0 and result["pid"] == os.getpid()
    sock.close()


@pytest.mark.local
def test_the_server_sees_one_connection_without_a_byte(client):
    with listener() as sock:
        wait(client, port_of(sock))
        connection = accept(sock)
        assert connection.recv(100) == b""          # an orderly end, no reset
        client.call("net.ports")
        assert not select.select([sock], [], [], 0.2)[0]


@pytest.mark.local
@pytest.mark.parametrize("listens, host", [("127.0.0.1", "::1"), ("::1", "127.0.0.1"), ("127.0.0.2", "127.0.0.1"),
                                           ("0.0.0.0", "::1")])
def test_host_names_the_only_address_that_counts(client, listens, host):
    with listener(listens) as sock:
        e = error_of(wait, client, port_of(sock), host=host, timeout_ms=300)
        assert e.code == "timeout"
        assert not select.select([sock], [], [], 0)[0], "nobody has connected"


@pytest.mark.local
@pytest.mark.parametrize("listens, host, address", [
    ("127.0.0.1", "127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.7", "127.0.0.7"), ("::1", "::1", "::1"),
    ("127.0.0.1", "localhost", "127.0.0.1"), ("::1", "LOCALHOST.", "::1"), ("::1", "my.app.localhost", "::1"),
    ("::", "127.0.0.1", "127.0.0.1"), ("127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1")])
def test_host_that_is_served(client, listens, host, address):
    with listener(listens) as sock:
        assert wait(client, port_of(sock), host=host)["address"] == address


@pytest.mark.local
def test_a_server_whose_queue_is_full_is_waited_for(client):
    """It listens, but nothing would be accepted: so it is not there yet."""
    with listener(backlog=0) as sock:
        address = ("127.0.0.1", port_of(sock))
        filling = []
        for _ in range(8):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(address)
            filling.append(s)
        e = error_of(wait, client, port_of(sock), timeout_ms=500)
        assert e.code == "timeout" and "took no connection" in e.message
        call = client.open("net.wait", {"port": port_of(sock)})
        for s in filling:
            s.close()
        stop = threading.Event()

        def drain():
            while not stop.is_set():
                if select.select([sock], [], [], 0.05)[0]:
                    sock.accept()[0].close()

        thread = threading.Thread(target=drain)
        thread.start()
        assert call.wait(LONG)["address"] == "127.0.0.1"
        stop.set()
        thread.join()


def test_timeout(client):
    e = error_of(wait, client, 1, timeout_ms=100)
    assert e.code == "timeout" and "port 1" in e.message


def test_cancel(client):
    call = client.open("net.wait", {"port": 1})
    client.call("system.ping")
    call.cancel()
    assert error_of(call.wait).code == "canceled"


# -- of a process --------------------------------------------------------------------------------

def test_it_fails_when_the_process_exits(client):
    name = unique("server")
    client.call("proc.start", {"cmd": "read x; exit 7", "stdin": True, "id": name})
    call = client.open("net.wait", {"port": 1, "id": name})
    assert client.call("system.ping") and not call.done
    go(client, name)
    e = error_of(call.wait)
    assert e.code == "not_found" and name in e.message
    assert_exit(e.data, code=7)


def test_it_fails_when_the_process_was_killed(client):
    name = unique("server")
    client.call("proc.start", {"argv": ["sleep", "600"], "id": name})
    call = client.open("net.wait", {"port": 1, "id": name})
    client.call("proc.stop", {"id": name, "signal": "KILL"})
    assert_exit(error_of(call.wait).data, signal=9, signal_name="SIGKILL")


def test_it_fails_when_the_process_has_exited(client):
    name = unique("server")
    client.call("proc.run", {"argv": ["false"], "id": name})
    e = error_of(wait, client, 1, id=name)
    assert e.code == "not_found"
    assert_exit(e.data, code=1)


def test_an_exit_with_artifacts(client, guest_dir):
    """They may be longer than a frame, and are left out."""
    name = unique("server")
    paths = [f"{guest_dir}/{'x' * 200}{i}" for i in range(1000)]
    client.call("proc.start", {"cmd": "read x", "stdin": True, "id": name, "artifacts": paths})
    call = client.open("net.wait", {"port": 1, "id": name})
    go(client, name)
    data = error_of(call.wait).data
    assert assert_exit(data, code=0) and "artifacts" not in data


def test_an_unknown_process(client):
    e = error_of(wait, client, 1, id=unique("nobody"))
    assert e.code == "not_found" and e.data is None


@pytest.mark.local
def test_a_process_that_begins_to_listen(client):
    name, port = unique("server"), free_port()
    code = ("import socket, sys; sys.stdin.readline(); s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1])));"
            " s.listen(); sys.stdin.readline()")
    info = client.call("proc.start", {"argv": ["python3", "-c", code, str(port)], "stdin": True, "id": name})
    call = client.open("net.wait", {"port": port, "id": name})
    assert client.call("net.ports") is not None and not call.done
    go(client, name)
    assert call.wait()["pid"] == info["pid"]
    go(client, name)
    client.call("proc.wait", {"id": name})


# -- what is refused -----------------------------------------------------------------------------

@pytest.mark.parametrize("params", [
    {}, {"port": 0}, {"port": 65536}, {"port": -1}, {"port": "80"}, {"port": 1, "host": "example.com"},
    {"port": 1, "host": ""}, {"port": 1, "host": "127.1"}, {"port": 1, "host": "0x7f000001"}, {"port": 1, "host": "::1%"},
    {"port": 1, "host": "1" * 5000}, {"port": 1, "host": "fe80::1%" + "e" * 5000}, {"port": 1, "path": "/x"}])
def test_bad_params(client, params):
    assert error_of(client.call, "net.wait", params).code == "bad_params"


def test_an_address_of_somebody_else(client):
    """Nothing is sent there, whatever listens here."""
    for host in ("192.0.2.1", "2001:db8::1"):
        assert error_of(wait, client, 1, host=host).code == "EADDRNOTAVAIL"


def test_calls_have_a_limit(agent):
    with agent.connect() as first, agent.connect() as other:
        limit = other.hello()["limits"]["max_port_waits"]
        calls = [first.open("net.wait", {"port": 1}) for _ in range(limit)]
        # Those are as many as a connection may have: so the next one is answered, when all are there.
        assert "max_calls" in error_of(first.call, "system.ping", timeout=LONG).message
        e = error_of(wait, other, 1, timeout_ms=1)
        assert e.code == "limit" and "max_port_waits" in e.message
        for call in calls:
            call.cancel()
        for call in calls:
            assert error_of(call.wait, LONG).code == "canceled"
        assert error_of(wait, other, 1, timeout_ms=1).code == "timeout"
