"""net.dial: bytes both ways, ends and errors as they come, and nothing held that nobody reads."""

import os
import random
import socket
import threading
import time

import pytest

from client import DATA, END, LONG, STDIN, STDOUT, TIMEOUT, Disconnected
from net import Server, accept, free_port, listener, port_of, read_all, reset
from support import error_of, eventually, rounds, sanitized

pytestmark = pytest.mark.local

MIB = 1 << 20


def dial(client, **params):
    return client.open("net.dial", params)


def pair(client, **params):
    """A tunnel and the server's end of it."""
    with listener() as sock:
        call = dial(client, port=port_of(sock), **params)
        connection = accept(sock)
    call.event("connected")
    return call, connection


# -- bytes ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 100, 65536, 65537, 5_000_000])
def test_bytes_both_ways(conn, size):
    data = random.Random(size).randbytes(size)
    with Server() as server:
        call = dial(conn, port=server.port)
        call.write(data, LONG)
        call.end()
        assert call.wait(LONG) == {"sent": size, "received": size}
        assert call.stdout == data and call.ended == {STDOUT}
        assert call.events == [{"type": "connected", "address": "127.0.0.1"}]
        assert call.kinds.index(5) == 0, "the event comes first"


@pytest.mark.parametrize("host, dialed", [("127.0.0.1", None), ("::1", None), ("::1", "::1"), ("127.0.0.9", "127.0.0.9"),
                                          ("0.0.0.0", "0.0.0.0"), ("::", "::"), ("::1", "localhost"),
                                          ("127.0.0.1", "a.localhost"), ("127.0.0.1", "::ffff:127.0.0.1")])
def test_addresses(client, host, dialed):
    with Server(sock=listener(host)) as server:
        call = dial(client, port=server.port, **({"host": dialed} if dialed else {}))
        call.write(b"hello")
        call.end()
        call.wait()
        assert call.stdout == b"hello"
        assert call.event("connected")["address"] in (host, "127.0.0.1", "::1")


@pytest.mark.parametrize("abstract", [False, True])
def test_unix_sockets(conn, tmp_path, abstract):
    name = os.urandom(8).hex()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0{name}" if abstract else str(tmp_path / name))
        sock.listen()
        with Server(sock=sock):
            path = f"@{name}" if abstract else str(tmp_path / name)
            call = dial(conn, path=path)
            call.write(b"x" * 300_000, LONG)
            call.end()
            assert call.wait(LONG) == {"sent": 300_000, "received": 300_000}
            assert call.events == [{"type": "connected", "path": path}]


def test_what_is_sent_at_once_waits_for_the_connection(client):
    """Request, data and end in one write, before anybody can have connected."""
    with Server() as server:
        call = dial(client, port=server.port)
        client.send([DATA, call.id, STDIN, b"early"])
        client.send([END, call.id, STDIN])
        assert call.wait() == {"sent": 5, "received": 5}


# -- ends ----------------------------------------------------------------------------------------

def test_the_clients_end_is_passed_on_and_the_server_goes_on(conn):
    call, server = pair(conn)
    call.write(b"question")
    call.end()
    assert read_all(server) == b"question"
    server.sendall(b"answer" * 10000)
    server.close()
    assert call.wait() == {"sent": 8, "received": 60000}


def test_the_servers_end_is_passed_on_and_the_client_goes_on(conn):
    call, server = pair(conn)
    server.sendall(b"greeting")
    server.shutdown(socket.SHUT_WR)
    call.pump(lambda: call.ended, what="its end")
    assert call.stdout == b"greeting" and not call.done
    call.write(b"x" * 200_000)
    thread = threading.Thread(target=call.end)
    thread.start()
    assert len(read_all(server)) == 200_000
    thread.join()
    assert call.wait() == {"sent": 200_000, "received": 8}
    server.close()


def test_an_end_needs_no_credit(agent):
    with agent.connect() as c:
        c.hello(window=1000)
        call, server = pair(c)
        call.auto_credit = False
        server.sendall(b"x" * 1000)
        call.read(1000)
        server.close()
        call.pump(lambda: call.ended, what="the end")
        call.end()
        assert call.wait() == {"sent": 0, "received": 1000}


def test_a_second_end_and_data_behind_it_are_ignored(client):
    call, server = pair(client)
    call.end()
    call.end()
    client.send([DATA, call.id, STDIN, b"late"])
    client.send([DATA, call.id, 7, b"nowhere"])
    assert read_all(server) == b""
    server.close()
    assert call.wait() == {"sent": 0, "received": 0}


# -- errors --------------------------------------------------------------------------------------

def test_nothing_listens(client, tmp_path):
    e = error_of(client.call, "net.dial", {"port": free_port()})
    assert (e.code, e.stage) == ("ECONNREFUSED", "connect") and "127.0.0.1" in e.message
    e = error_of(client.call, "net.dial", {"path": str(tmp_path / "nothing")})
    assert (e.code, e.stage, e.path) == ("ENOENT", "connect", str(tmp_path / "nothing"))
    (tmp_path / "file").write_text("")
    assert error_of(client.call, "net.dial", {"path": str(tmp_path / "file")}).code == "ECONNREFUSED"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "datagrams"))
        assert error_of(client.call, "net.dial", {"path": str(tmp_path / "datagrams")}).code == "EPROTOTYPE"


def test_the_peer_resets(conn):
    """What it said before is delivered first."""
    call, server = pair(conn)
    server.sendall(b"last words")
    call.read(10)
    reset(server)
    e = error_of(call.wait)
    assert (e.code, e.stage) == ("ECONNRESET", "read") and call.stdout == b"last words"


def test_the_peer_reads_no_more(conn):
    """It answers and goes while the client still sends: the answer arrives, and then the error."""
    call, server = pair(conn)
    call.write(b"x" * 10)
    assert server.recv(10)
    server.sendall(b"too long")
    server.shutdown(socket.SHUT_WR)
    call.pump(lambda: call.ended, what="its end")
    server.close()
    deadline = time.monotonic() + TIMEOUT
    while not call.done:
        assert time.monotonic() < deadline
        call.write(b"x" * 1000)
        conn.call("system.ping")
    assert call.error["code"] == "ECONNRESET" and call.error["stage"] == "write"
    assert call.stdout == b"too long"


def test_a_unix_peer_that_reads_no_more(client, tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen()
        call = dial(client, path=str(tmp_path / "s"))
        server = accept(sock)
        server.shutdown(socket.SHUT_RD)
        call.write(b"x")
        client.call("system.ping")
        server.sendall(b"still here")
        server.close()
        e = error_of(call.wait)
        assert (e.code, e.stage) == ("ECONNRESET", "write") and call.stdout == b"still here"


def test_a_server_that_does_not_accept(client, tmp_path):
    """A full queue: the call waits, for timeout_ms, and is served when there is room."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen(0)
        others = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(str(tmp_path / "s"))
        e = error_of(client.call, "net.dial", {"path": str(tmp_path / "s"), "timeout_ms": 100})
        assert (e.code, e.stage) == ("timeout", "connect")
        call = dial(client, path=str(tmp_path / "s"), timeout_ms=0)
        client.call("system.ping")
        assert not call.done and not call.events
        accept(sock).close()
        for other in others:
            other.close()
        with Server(sock=sock):
            call.event("connected")
        call.cancel()
        assert error_of(call.wait).code == "canceled"


# -- what is cut is told apart from what has ended -----------------------------------------------

@pytest.mark.parametrize("how", ["cancel", "disconnect"])
def test_a_tunnel_that_is_cut_is_no_end(agent, how):
    with agent.connect() as c:
        call, server = pair(c)
        call.write(b"half of it")
        assert server.recv(100) == b"half of it"
        if how == "cancel":
            call.cancel()
            assert error_of(call.wait).code == "canceled"
        else:
            c.close()
        with pytest.raises(ConnectionResetError):
            server.recv(100)


def test_a_cancel_while_connecting(client, tmp_path):
    with listener(backlog=0) as sock:
        filling = [socket.socket() for _ in range(4)]
        for s in filling:
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port_of(sock)))
        call = dial(client, port=port_of(sock))
        client.call("system.ping")
        assert not call.done and not call.events
        call.cancel()
        assert error_of(call.wait).code == "canceled"


# -- who does not read ---------------------------------------------------------------------------

def test_a_server_that_does_not_read_holds_the_client(agent):
    """Credit comes back only for what the server's socket took; other calls go on."""
    with agent.connect() as c:
        c.hello(window=MIB)
        call, server = pair(c)
        sent, last = 0, time.monotonic()
        while time.monotonic() - last < 0.5:
            if call.credit:
                sent += call.write(b"x" * call.credit)
                last = time.monotonic()
            c.call("system.ping")
        assert call.credit == 0
        assert sent < 16 * MIB, "the kernel's buffers and a window, no more"
        with Server() as other:
            beside = dial(c, port=other.port)
            beside.write(b"y" * 500_000, LONG)
            beside.end()
            assert beside.wait(LONG)["received"] == 500_000
        received = []
        thread = threading.Thread(target=lambda: received.append(len(read_all(server))))
        thread.start()
        call.write(b"x" * 1000)
        call.end()
        thread.join()
        assert received == [sent + 1000]
        server.close()
        assert call.wait()["sent"] == sent + 1000


def test_a_client_that_does_not_read_holds_the_server(agent):
    with agent.connect() as c:
        c.hello(window=100_000)
        call, server = pair(c)
        call.auto_credit = False
        server.setblocking(False)
        sent, last = 0, time.monotonic()
        while time.monotonic() - last < 0.5:
            try:
                sent += server.send(b"x" * 65536)
                last = time.monotonic()
            except BlockingIOError:
                c.call("system.ping")
        assert len(call.stdout) == 100_000
        assert sent < 16 * MIB
        server.setblocking(True)
        server.shutdown(socket.SHUT_WR)
        call.grant(sent)
        call.read(sent, LONG)
        call.end()
        assert call.wait(LONG) == {"sent": 0, "received": sent}


def test_data_beyond_the_credit_ends_the_connection(agent):
    with agent.connect() as c:
        window = c.hello(window=1000)["window"]
        call, server = pair(c)
        with pytest.raises(Disconnected):
            for _ in range(window // 65536 + 200):
                c.send([DATA, call.id, STDIN, b"x" * 65536])
                c.take()
            c.call("system.ping")
        assert c.goodbye["code"] == "protocol_error"
        server.close()


# -- many ----------------------------------------------------------------------------------------

def test_two_hundred_at_once(conn):
    with Server() as server:
        calls = [dial(conn, port=server.port) for _ in range(200)]
        for i, call in enumerate(calls):
            call.write(f"{i}".encode() * 1000)
        for i, call in enumerate(calls):
            call.read(len(f"{i}") * 1000)
            assert call.stdout == f"{i}".encode() * 1000
        for call in calls:
            call.end()
        for call in calls:
            call.wait()


def test_tunnels_have_a_limit(guestd):
    daemon = guestd()
    with listener(backlog=8192) as sock, daemon.connect() as last:
        limit = last.hello()["limits"]["max_tunnels"]
        conns = [daemon.connect() for _ in range(limit // 1024)]
        for c in conns:
            calls = [dial(c, port=port_of(sock), timeout_ms=0) for _ in range(1024)]
            # Those are as many as a connection may have: so the next one is answered, when all are there.
            assert "max_calls" in error_of(c.call, "system.ping", timeout=LONG).message
            assert not any(call.done for call in calls)
        e = error_of(last.call, "net.dial", {"port": port_of(sock)})
        assert e.code == "limit" and "max_tunnels" in e.message
        conns[0].close()

        def there_is_room():
            call = dial(last, port=port_of(sock), timeout_ms=0)
            last.call("system.ping")
            return not call.done

        eventually(there_is_room, "another one may be opened")
        for c in conns[1:]:
            c.close()


def test_nothing_is_left_behind(guestd):
    """200 tunnels, cut in all possible ways at any moment."""
    chance = random.Random(7)
    daemon = guestd()
    with Server() as server, daemon.connect() as c:
        call = dial(c, port=server.port)
        call.end()
        call.wait()
        before, memory = daemon.fds(), daemon.rss()
        for _ in range(rounds(20)):
            conns = [daemon.connect() for _ in range(4)]
            for number in range(200):
                client = conns[number % 4]
                call = dial(client, port=server.port)
                how = chance.randrange(5)
                if how > 0:
                    call.write(chance.randbytes(chance.randrange(30_000)))
                if how > 1:
                    call.end()
                if how == 3:
                    call.cancel()
                if how == 4 and chance.randrange(4) == 0:
                    call.pump(lambda: call.done)
            for client in conns:
                client.close()
        eventually(lambda: daemon.fds() == before, "descriptors are as before")
        eventually(lambda: daemon.rss() - memory < (96 if sanitized() else 8) * MIB, "memory is as before")
        assert c.call("system.ping")


# -- what is refused -----------------------------------------------------------------------------

@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8", "::127.0.0.1",
                                  "fe80::1%lo", "255.255.255.255", "169.254.169.254"])
def test_only_loopback(client, host):
    e = error_of(client.call, "net.dial", {"port": 80, "host": host})
    assert (e.code, e.stage) == ("EACCES", "address") and "--dial-any" in e.message


def test_dial_any(guestd, tmp_path):
    for option in (["--dial-any"], ["--dial-any=yes"], ["--config", tmp_path / "conf"]):
        (tmp_path / "conf").write_text("dial-any = on\n")
        with guestd(*option).connect() as c:
            # The address is one for documents: no route leads there, or nobody answers.
            e = error_of(c.call, "net.dial", {"port": 9, "host": "192.0.2.1", "timeout_ms": 200})
            assert e.code != "EACCES" and e.stage == "connect"
    (tmp_path / "conf").write_text("dial-any = perhaps\n")
    wrong = guestd("--config", tmp_path / "conf", wait=False)
    assert wrong.exit_status() == 1 and "line 1" in wrong.log()
    wrong.kill()
    with guestd("--dial-any=no").connect() as c:
        assert error_of(c.call, "net.dial", {"port": 9, "host": "192.0.2.1"}).code == "EACCES"


@pytest.mark.parametrize("options", [[], ["--dial-any"]])
def test_the_agents_own_sockets_are_not_reached(guestd, tmp_path, options):
    """Under whatever name, and also where other machines may be."""
    with socket.socket(socket.AF_UNIX) as inherited:
        inherited.bind(f"\0{os.urandom(8).hex()}")
        inherited.listen()
        name = "@" + inherited.getsockname()[1:].decode()
        own = tmp_path / "own.sock"
        daemon = guestd(*options, listen=[f"unix:{own}", f"fd:{inherited.fileno()}"], wait=False,
                        pass_fds=[inherited.fileno()])
        daemon.endpoint = f"unix:{own}"
        daemon.wait_ready()
        events = daemon.run_dir / "events.sock"
        os.symlink(own, tmp_path / "symlink")
        os.link(own, tmp_path / "hardlink")
        os.link(events, tmp_path / "events")
        with daemon.connect() as c:
            for path in (own, tmp_path / "symlink", tmp_path / "hardlink", f"{tmp_path}/./own.sock", events,
                         tmp_path / "events", name):
                e = error_of(c.call, "net.dial", {"path": str(path)})
                assert (e.code, e.stage) == ("EACCES", "address"), path
                assert "own" in e.message


@pytest.mark.parametrize("params", [
    {}, {"port": 0}, {"port": 65536}, {"port": 1, "path": "/x"}, {"path": "relative"}, {"path": ""}, {"path": "/" + "x" * 108},
    {"path": "@" + "x" * 108}, {"path": "/x", "host": "127.0.0.1"}, {"host": "127.0.0.1"}, {"port": 1, "host": "x.example"},
    {"port": 1, "host": "127.0.0.1 "}, {"port": 1, "host": "[::1]"}, {"path": b"/a\0b"}, {"port": 1, "user": "root"}])
def test_bad_params(client, params):
    assert error_of(client.call, "net.dial", params).code == "bad_params"


def test_what_goes_through_is_activity(client, agent):
    before = client.call("system.activity")["net_bytes"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = client.open("net.dial", {"port": server.getsockname()[1]})
        peer, _ = server.accept()
        call.event("connected")
        call.write(b"x" * 1000)
        assert len(peer.recv(1000, socket.MSG_WAITALL)) == 1000
        peer.sendall(b"y" * 500)
        call.read(500)
        assert client.call("system.activity")["net_bytes"] == before + 1500
        peer.close()
        call.end()
        assert call.wait() == {"sent": 1000, "received": 500}
