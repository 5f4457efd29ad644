"""net.ports, net.watch, and port events: what listens, and who is told of it when."""

import ctypes
import os
import platform
import select
import socket
import struct
import threading
import time

import pytest

from client import LONG
from net import free_port, listener, port_of, wake_ups
from support import error_of, eventually, rounds, unique

pytestmark = pytest.mark.local


@pytest.fixture(params=["sock_diag", "proc"])
def any_agent(agent, guestd, request):
    """The shared agent, and one whose kernel refuses to be asked by netlink."""
    return agent if request.param == "sock_diag" else guestd(preexec_fn=deny_netlink)


def deny_netlink():
    """A seccomp filter under which socket(AF_NETLINK) fails as on a kernel without it."""
    number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
    load, equal, ret = 0x20, 0x15, 0x06
    code = [(load, 0, 0, 0),                        # the system call
            (equal, 0, 3, number),
            (load, 0, 0, 16),                       # its first argument
            (equal, 0, 1, socket.AF_NETLINK),
            (ret, 0, 0, 0x00050000 | 93),           # EPROTONOSUPPORT
            (ret, 0, 0, 0x7fff0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in code))
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(program)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0          # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, ctypes.byref(fprog), 0, 0) == 0, os.strerror(ctypes.get_errno())


def entries(client, port):
    return [p for p in client.call("net.ports") if p["port"] == port]


def changes(call, port):
    """(type, address) of the events about that port so far."""
    return [(e["type"], e["address"]) for e in call.events if e.get("port") == port]


def watch(client):
    call = client.open("net.watch")
    call.event("ready")
    return call


def seen_until_now(call):
    """Wait until the watcher has looked at least once more: for a port that is opened now."""
    with listener() as sock:
        port = port_of(sock)
        call.pump(lambda: ("opened", "127.0.0.1") in changes(call, port), what="the port that opened last")


# -- net.ports -----------------------------------------------------------------------------------

@pytest.mark.parametrize("host, family", [("127.0.0.1", "ipv4"), ("127.3.2.1", "ipv4"), ("0.0.0.0", "ipv4"),
                                          ("::1", "ipv6"), ("::", "ipv6"), ("::ffff:127.0.0.1", "ipv6")])
def test_what_listens_is_listed_with_its_process(any_agent, host, family):
    with any_agent.connect() as c, listener(host) as sock:
        with open("/proc/self/comm") as f:
            comm = f.read().strip()
        assert entries(c, port_of(sock)) == [{"port": port_of(sock), "address": host, "family": family,
                                              "protocol": "tcp", "pid": os.getpid(), "comm": comm}]


def test_only_what_listens_is_listed(any_agent):
    with any_agent.connect() as c, listener() as sock:
        port = port_of(sock)
        with socket.create_connection(("127.0.0.1", port)) as other, socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            ports = {p["port"] for p in c.call("net.ports")}
            assert port in ports
            assert not {port_of(other), port_of(bound)} & ports
    with any_agent.connect() as c:
        assert not entries(c, port)


SERVER = ("import socket, sys, time; s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); "
          "print('listening', flush=True); time.sleep(600)")


def test_a_port_of_the_agents_own_process_has_its_id(any_agent):
    port, name = free_port(), unique("server")
    with any_agent.connect() as c:
        # Below a shell: by descent, or by its cgroup.
        cmd = f"python3 -c \"$CODE\" {port}; true"
        c.call("proc.start", {"cmd": cmd, "env": {"CODE": SERVER}, "id": name})
        try:
            found = eventually(lambda: entries(c, port), "it listens")[0]
            assert found["id"] == name
            assert found["pid"] != c.call("proc.list")[-1]["pid"]
        finally:
            c.call("proc.stop", {"id": name, "signal": "KILL"})


def test_of_a_server_with_workers_it_is_the_eldest(client):
    with listener() as sock:
        child = os.fork()
        if child == 0:
            time.sleep(600)
        try:
            assert entries(client, port_of(sock))[0]["pid"] == os.getpid()
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)


def test_who_inherited_a_socket_is_found_when_its_first_owner_is_gone(client):
    """The owner is looked up once; when that process ends, it is looked up again."""
    with listener() as sock:
        port = port_of(sock)
        reader, writer = os.pipe()
        first = os.fork()
        if first == 0:
            second = os.fork()
            if second == 0:
                time.sleep(600)
            os.write(writer, struct.pack("i", second))
            time.sleep(600)
        second = struct.unpack("i", os.read(reader, 4))[0]
    os.close(reader), os.close(writer)
    try:
        assert entries(client, port)[0]["pid"] == first
        os.kill(first, 9)
        os.waitpid(first, 0)
        assert entries(client, port)[0]["pid"] == second
    finally:
        os.kill(second, 9)


def test_sockets_that_share_an_address_are_one(client):
    with listener(reuse_port=True) as first, listener(port=port_of(first), reuse_port=True):
        assert len(entries(client, port_of(first))) == 1


def test_many_ports(client):
    socks = [listener() for _ in range(rounds(500))]
    try:
        wanted = {port_of(s) for s in socks}
        found = {p["port"]: p for p in client.call("net.ports")}
        assert wanted <= set(found)
        assert {found[port].get("pid") for port in wanted} == {os.getpid()}
    finally:
        for sock in socks:
            sock.close()


def test_ports_that_do_not_fit_into_a_frame(agent):
    socks = [listener() for _ in range(20)]
    with agent.connect() as c:
        c.hello(max_frame=1024)
        assert error_of(c.call, "net.ports").code == "limit"
        assert error_of(c.open("net.watch").wait).code == "limit"
        assert c.call("system.ping")
    for sock in socks:
        sock.close()


def test_no_parameters(client):
    for method in ("net.ports", "net.watch"):
        assert error_of(client.call, method, {"port": 1}).code == "bad_params"


# -- net.watch -----------------------------------------------------------------------------------

def test_ports_that_open_and_close_are_told(any_agent):
    with any_agent.connect() as c, listener() as before:
        call = c.open("net.watch")
        ready = call.event("ready")
        assert port_of(before) in {p["port"] for p in ready["ports"]}
        for host in ("127.0.0.1", "::1", "0.0.0.0"):
            sock = listener(host)
            port = port_of(sock)
            call.pump(lambda: changes(call, port), what=f"{host} opens")
            sock.close()
            call.pump(lambda: len(changes(call, port)) > 1, what=f"{host} closes")
            assert changes(call, port) == [("opened", host), ("closed", host)]
            told = [e for e in call.events if e.get("port") == port]
            assert [e["pid"] for e in told] == [os.getpid()] * 2
        assert not changes(call, port_of(before))
        call.cancel()
        assert error_of(call.wait).code == "canceled"


def test_one_event_for_all_that_share_a_port(client):
    call = watch(client)
    socks = [listener(reuse_port=True)]
    port = port_of(socks[0])
    socks += [listener(port=port, reuse_port=True) for _ in range(3)]
    seen_until_now(call)
    for sock in socks[:3]:
        sock.close()
        seen_until_now(call)
    assert changes(call, port) == [("opened", "127.0.0.1")]
    socks[3].close()
    call.pump(lambda: len(changes(call, port)) == 2, what="it closes")
    assert changes(call, port)[1] == ("closed", "127.0.0.1")


def test_a_port_that_changes_hands_is_closed_and_opened(client):
    """One process gives a port to another without a moment in between (SO_REUSEPORT)."""
    call = watch(client)
    sock = listener(reuse_port=True)
    port = port_of(sock)
    seen_until_now(call)
    up, over = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        sock.close()
        kept = listener(port=port, reuse_port=True)
        os.write(up[1], b"x")
        os.read(over[0], 1)
        kept.close()
        os._exit(0)
    os.read(up[0], 1)
    sock.close()
    call.pump(lambda: len(changes(call, port)) == 3, what="the other process has it")
    os.write(over[1], b"x")
    os.waitpid(child, 0)
    call.pump(lambda: len(changes(call, port)) == 4, what="it closes")
    told = [(e["type"], e["pid"]) for e in call.events if e.get("port") == port]
    assert told == [("opened", os.getpid()), ("closed", os.getpid()), ("opened", child), ("closed", child)]


def test_a_port_that_stays_is_never_told_while_others_come_and_go(client):
    """The kernel's dump comes in pieces; sockets that close in between shift the rest of it."""
    stable = [listener() for _ in range(200)]
    ports = {port_of(s) for s in stable}
    call = watch(client)
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            socks = [listener() for _ in range(100)]
            for sock in socks:
                sock.close()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            select.select([client.sock], [], [], 0.1)
            client.take()
    finally:
        stop.set()
        thread.join()
    seen_until_now(call)
    assert not [e for e in call.events if e.get("port") in ports]
    for sock in stable:
        sock.close()


def test_a_client_that_does_not_read_gets_what_is_left(agent):
    """It misses nothing but what came and went, however many."""
    with agent.connect() as slow, agent.connect() as quick, listener("127.0.0.4") as stays:
        call = watch(slow)
        other = watch(quick)
        mine = {port_of(stays)}
        for _ in range(rounds(20)):
            socks = [listener("127.0.0.4") for _ in range(50)]
            mine |= {port_of(sock) for sock in socks}
            seen_until_now(other)
            for sock in socks:
                sock.close()
            seen_until_now(other)
        with listener("127.0.0.4") as last:
            call.pump(lambda: ("opened", "127.0.0.4") in changes(call, port_of(last))[-1:], LONG, "the last one")
            seen_until_now(call)    # what is told together is in the order of ports
            mine.discard(port_of(last))
            now = set()
            for event in call.events:
                if event["type"] == "ready":
                    now = {p["port"] for p in event["ports"] if p["address"] == "127.0.0.4"} & mine
                elif event["address"] != "127.0.0.4":
                    continue
                elif event["port"] in mine and event["type"] == "opened":
                    assert event["port"] not in now
                    now.add(event["port"])
                elif event["port"] in mine:
                    now.remove(event["port"])
            assert now == {port_of(stays)}


def test_watches_have_a_limit(agent):
    with agent.connect() as c:
        limit = c.hello()["limits"]["max_port_watches"]
        calls = [c.open("net.watch") for _ in range(limit)]
        for call in calls:
            call.event("ready")
        assert error_of(c.call, "net.watch").code == "limit"
        calls[0].cancel()
        error_of(calls[0].wait)
        watch(c)

    def again():
        with agent.connect() as c:      # those went with their connection
            calls = [c.open("net.watch") for _ in range(limit)]
            c.pump(lambda: all(call.done or call.events for call in calls))
            return not any(call.done for call in calls)

    eventually(again, "as many as before")


# -- system.events -------------------------------------------------------------------------------

def test_system_events_tell_of_ports(guestd):
    with guestd().connect() as c:
        events = c.open("system.events")
        name, port = unique("server"), free_port()
        # What is open at first is no event: so let the agent look once.
        c.call("net.ports")
        c.call("proc.start", {"argv": ["python3", "-c", SERVER, str(port)], "id": name})

        def told():
            return [e for e in events.events if e.get("port") == port]

        events.pump(told, what="it opens")
        pid = c.call("proc.list")[0]["pid"]
        opened = told()[0]
        assert {k: opened[k] for k in ("type", "port", "address", "pid", "id")} == {
            "type": "port_opened", "port": port, "address": "127.0.0.1", "pid": pid, "id": name}
        c.call("proc.stop", {"id": name, "signal": "KILL"})
        events.pump(lambda: len(told()) > 1, what="it closes")
        closed = told()[1]
        assert (closed["type"], closed["address"], closed["pid"]) == ("port_closed", "127.0.0.1", pid)
        assert opened["seq"] < closed["seq"]
        assert len(told()) == 2


def test_what_changed_while_nobody_looked_is_told_to_who_comes_back(guestd):
    with guestd().connect() as c, listener() as stays:
        c.call("net.ports")
        with listener() as sock:
            events = c.open("system.events")
            events.pump(lambda: any(e.get("port") == port_of(sock) for e in events.events), what="it opens")
            events.cancel()
            error_of(events.wait)
            port = port_of(sock)
        events = c.open("system.events")
        events.pump(lambda: any(e.get("port") == port for e in events.events), what="it has closed")
        assert [e["type"] for e in events.events if e.get("port") == port] == ["port_closed"]
        assert not [e for e in events.events if e.get("port") == port_of(stays)]


# -- what it costs -------------------------------------------------------------------------------

def test_nobody_watches_nothing_wakes_up(guestd):
    daemon = guestd()
    with daemon.connect() as c:
        call, events = watch(c), c.open("system.events")
        waiter = c.open("net.wait", {"port": free_port()})
        c.call("proc.run", {"argv": ["true"]})
        seen_until_now(call)
        for one in (call, events, waiter):
            one.cancel()
            assert error_of(one.wait).code == "canceled"
        time.sleep(4)       # workers that have nothing to do go to sleep, memory goes back
        before = wake_ups(daemon.pid)
        time.sleep(10)
        assert wake_ups(daemon.pid) == before


def test_watching_leaves_nothing_behind(guestd):
    daemon = guestd()
    with daemon.connect() as c:
        watch(c)
    fds = eventually(lambda: daemon.fds(), "")
    for _ in range(rounds(100)):
        with daemon.connect() as c:
            call = c.open("net.watch")
            if os.urandom(1)[0] & 1:
                call.event("ready")
    eventually(lambda: daemon.fds() <= fds, "descriptors are as before")
