"""What changes the machine, as far as it is refused; what it does is tested in tests/vm/test_guest_machine.py."""

import pytest

from support import error_of


@pytest.mark.local  # there it is PID 1
def test_shutdown_is_for_pid_1(client):
    error = error_of(client.call, "system.shutdown", {"mode": "poweroff"})
    assert error.code == "unsupported" and "force" in error.message
    assert client.call("system.ping")["time_us"] > 0


@pytest.mark.parametrize("method,params,code", [
    ("system.shutdown", {}, "bad_params"),
    ("system.shutdown", {"mode": "explode"}, "bad_params"),
    ("system.hostname", {"name": ""}, "bad_params"),
    ("system.hostname", {"name": "a b"}, "bad_params"),
    ("system.hostname", {"name": "-a"}, "bad_params"),
    ("system.hostname", {"name": "a" * 65}, "bad_params"),
    ("system.reseed", {"entropy": b""}, "bad_params"),
    ("system.reseed", {"entropy": b"x" * 4097}, "bad_params"),
    ("system.network", {"interface": "no-such-interface"}, "ENODEV"),
    ("system.network", {"interface": "lo", "address": "300.0.0.1/8"}, "bad_params"),
    ("system.network", {"interface": "lo", "address": "10.0.0.1/33"}, "bad_params"),
    ("system.network", {"interface": "lo", "address": "10.0.0.1/"}, "bad_params"),
    ("system.network", {"interface": "lo", "gateway": "somewhere"}, "bad_params"),
    ("system.network", {"interface": "lo", "dns": ["1.2.3.4", "x"]}, "bad_params"),
    ("system.network", {"interface": "lo", "dns": ["1.2.3.4"] * 17}, "bad_params"),
    ("system.mount", {"source": "x", "target": "relative", "fstype": "tmpfs"}, "bad_params"),
    ("system.umount", {"target": "relative"}, "bad_params"),
    ("system.set_time", {}, "bad_params"),
])
def test_what_makes_no_sense(client, method, params, code):
    assert error_of(client.call, method, params).code == code


def test_no_such_file_system(client, guest_dir):
    error = error_of(client.call, "system.mount", {"source": "x", "target": f"{guest_dir}/m", "fstype": "no-such-fs"})
    assert error.code in ("ENODEV", "EPERM") and error.path == f"{guest_dir}/m"


def test_nothing_is_mounted_there(client, guest_dir):
    assert error_of(client.call, "system.umount", {"target": guest_dir}).code in ("EINVAL", "EPERM")
