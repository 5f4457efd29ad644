"""The methods of section 9 as a client finds them written: their names, and those of their parameters."""

import pytest

from support import error_of, info_of

SPAWN = {"argv", "cmd", "cwd", "env", "user", "target", "stdin", "pty", "timeout_ms", "grace_ms", "on_disconnect",
         "id", "label", "ring", "limits", "rlimits", "nice", "no_new_privs", "login", "merge", "artifacts"}
ONE = {"id", "pid"}
ANY = {"id", "pid", "label"}

PARAMS = {
    "proc.exec": SPAWN | {"stall_ms"},
    "proc.run": SPAWN | {"input", "max_output"},
    "proc.start": SPAWN,
    "proc.attach": ANY | {"stdout_from", "stderr_from", "follow", "stall_ms"},
    "proc.input": ONE | {"data", "close"},
    "proc.wait": ONE | {"timeout_ms"},
    "proc.signal": ANY | {"signal", "scope", "foreign"},
    "proc.stop": ANY | {"signal", "grace_ms"},
    "proc.list": {"all"},
    "proc.logs": ANY | {"tail", "stream"},
    "proc.remove": {"id"},
    "pty.open": (SPAWN - {"pty"}) | {"rows", "cols", "term", "stall_ms"},
    "pty.resize": ONE | {"rows", "cols"},
    "system.events": {"from_seq"},
}
REQUIRED = {"proc.signal": {"signal"}, "proc.remove": {"id"}, "pty.resize": {"rows", "cols"}}
STREAMS = {"proc.exec", "proc.attach", "pty.open", "system.events"}


@pytest.fixture(scope="module")
def methods(shared):
    """system.methods, by name."""
    known = {}

    def look(client):
        if not known:
            known.update({m["name"]: m for m in client.call("system.methods")})
        return known
    return look


@pytest.mark.parametrize("name", PARAMS)
def test_parameters_are_named_as_promised(client, methods, name):
    method = methods(client)[name]
    params = {p["name"]: p["required"] for p in method["params"]}
    assert PARAMS[name] <= set(params)
    assert {p for p, required in params.items() if required} == REQUIRED.get(name, set())
    assert method["streams"] is (name in STREAMS) and method["doc"]


@pytest.mark.parametrize("name", PARAMS)
def test_a_misspelt_parameter_is_named(client, name):
    e = error_of(client.call, name, {"argv": ["true"], "wrong_name": 1})
    assert e.code == "bad_params" and ("wrong_name" in e.message or "argv" in e.message)
    e = error_of(client.call, name, {"wrong_name": 1})
    assert e.code == "bad_params" and "wrong_name" in e.message


# What is needed besides the process.
MORE = {"proc.signal": {"signal": "CONT"}, "pty.resize": {"rows": 24, "cols": 80}}
OF_ONE = sorted(name for name, params in PARAMS.items() if ONE <= params and "argv" not in params)


@pytest.mark.parametrize("name", OF_ONE)
def test_exactly_one_process_is_named(client, start, name):
    info = start(argv=["sleep", "60"])
    wrong = [{}, {"id": info["id"], "pid": info["pid"]}]
    if "label" in PARAMS[name]:
        wrong += [{"id": info["id"], "label": "x"}, {"pid": info["pid"], "label": "x"}]
    for which in wrong:
        assert error_of(client.call, name, which | MORE.get(name, {})).code == "bad_params", which
    assert info_of(client, info["id"])["status"] == "running"


@pytest.mark.parametrize("name, which", [
    (name, which) for name in OF_ONE
    for which in ({"id": "no-such-id"}, {"pid": 1}, {"pid": 999_999_999}, {"label": "no-such-label"})
    if set(which) <= PARAMS[name]])
def test_a_process_that_is_not_the_agents(client, name, which):
    """Process 1 is there, but the agent has not started it."""
    assert error_of(client.call, name, which | MORE.get(name, {})).code == "not_found"
