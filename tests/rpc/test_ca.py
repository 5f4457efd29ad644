"""system.ca_install, system.ca_remove: the trust stores of distributions, in a root directory of our own.

The daemon there is the static binary alone: no tool of the image is there to help.
"""

import base64
import contextlib
import os
import re
import shutil
import stat
import subprocess

import pytest

import x509
from client import connect
from support import ROOT, error_of, eventually

STATIC = ROOT / "build" / "guestd"

A = x509.pem(x509.certificate(x509.SUBJECTS["plain"]))
B = x509.pem(x509.certificate(x509.SUBJECTS["non-ascii"]))
SAME_HASH = x509.pem(x509.certificate(x509.SUBJECTS["plain"], serial=2))
OLD = x509.pem(x509.certificate(x509.SUBJECTS["multi"]))

LAYOUTS = {
    "debian": {"dirs": ["etc/ssl/certs", "usr/local/share/ca-certificates"],
               "bundle": "etc/ssl/certs/ca-certificates.crt", "links": {},
               "anchor": "usr/local/share/ca-certificates/NAME.crt", "hashed": "etc/ssl/certs"},
    "alpine": {"dirs": ["etc/ssl/certs", "usr/local/share/ca-certificates"],
               "bundle": "etc/ssl/certs/ca-certificates.crt", "links": {"etc/ssl/cert.pem": "certs/ca-certificates.crt"},
               "anchor": "usr/local/share/ca-certificates/NAME.crt", "hashed": "etc/ssl/certs"},
    "fedora": {"dirs": ["etc/pki/ca-trust/source/anchors", "etc/pki/ca-trust/extracted/pem", "etc/pki/tls/certs", "etc/ssl"],
               "bundle": "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
               "links": {"etc/pki/tls/certs/ca-bundle.crt": "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                         "etc/pki/tls/cert.pem": "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                         "etc/ssl/certs": "../pki/tls/certs"},
               "anchor": "etc/pki/ca-trust/source/anchors/NAME.pem", "hashed": "etc/pki/tls/certs"},
    "fedora-old": {"dirs": ["etc/pki/ca-trust/source/anchors", "etc/pki/tls/certs"],
                   "bundle": "etc/pki/tls/certs/ca-bundle.crt", "links": {},
                   "anchor": "etc/pki/ca-trust/source/anchors/NAME.pem", "hashed": "etc/pki/tls/certs"},
}


class Guest:
    """A root directory with a trust store and an agent."""

    def __init__(self, root, number, layout):
        self.root, self.layout, self.client = root, layout, None
        if layout:
            for d in layout["dirs"]:
                (root / d).mkdir(parents=True)
            self.path(layout["bundle"]).write_text(f"# a comment\n{OLD}")
            for link, target in layout["links"].items():
                (root / link).symlink_to(target)
            os.chmod(self.path(layout["bundle"]), 0o640)
        root.chmod(0o755)
        shutil.copy(STATIC, root / "guestd")
        self.link = f"/tmp/guestd-ca-{os.getpid()}-{number}"     # a socket's path is short
        os.symlink(root, self.link)
        self.daemon = subprocess.Popen(
            ["/guestd", "--listen", "unix:/g.sock", "--run-dir", "/run", "--log-level", "error"],
            preexec_fn=lambda: (os.chroot(root), os.chdir("/")), env={}, stdin=subprocess.DEVNULL)
        try:
            self.client = eventually(self.connect, "it listens")
        except AssertionError:
            self.close()
            raise

    def connect(self):
        """None between bind(2) and listen(2)."""
        with contextlib.suppress(OSError):
            return connect(f"unix:{self.link}/g.sock")

    def close(self):
        if self.client:
            self.client.close()
        os.unlink(self.link)
        self.daemon.terminate()
        assert self.daemon.wait(10) == 0

    def path(self, name):
        return self.root / name

    def install(self, name, pem, **more):
        return self.client.call("system.ca_install", {"name": name, "pem": pem, **more})["path"]

    def remove(self, name):
        return self.client.call("system.ca_remove", {"name": name})

    def bundle(self):
        return self.path(self.layout["bundle"]).read_text()

    def hashed(self):
        """{HASH.N: name of what it leads to} as OpenSSL would find them."""
        d = self.path(self.layout["hashed"])
        return {e.name: os.readlink(e) for e in d.iterdir() if re.fullmatch(r"[0-9a-f]{8}\.\d+", e.name)}

    def picture(self):
        """Every file: type, mode, contents."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if name.split("/")[0] in ("guestd", "g.sock", "run"):
                continue
            st = path.lstat()
            found[name] = (st.st_mode, os.readlink(path) if path.is_symlink() else
                           path.read_bytes() if path.is_file() else None)
        return found


@pytest.fixture
def guest(tmp_path):
    if os.geteuid():
        pytest.skip("needs root")
    started = []

    def start(layout):
        root = tmp_path / str(len(started))
        root.mkdir()
        started.append(Guest(root, len(started), LAYOUTS[layout] if layout else None))
        return started[-1]

    yield start
    for one in started:
        one.close()


pytestmark = pytest.mark.local


def hash_of(pem):
    return x509.openssl_hash(base64.b64decode("".join(pem.splitlines()[1:-1])))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_where_programs_look_and_gone_again(guest, layout):
    g = guest(layout)
    before = g.picture()
    anchor = g.layout["anchor"].replace("NAME", "corp")
    assert g.install("corp", A) == "/" + anchor
    assert A in g.path(anchor).read_text()
    assert g.bundle().startswith(f"# a comment\n{OLD}") and g.bundle().count(A) == 1
    assert stat.S_IMODE(g.path(g.layout["bundle"]).stat().st_mode) == 0o640
    assert g.hashed() == {f"{hash_of(A)}.0": "corp.pem"}
    assert os.readlink(g.path(g.layout["hashed"]) / "corp.pem") == "/" + anchor
    assert {n for n in g.picture() if g.picture()[n] != before.get(n)} == {
        anchor, g.layout["bundle"], f"{g.layout['hashed']}/{hash_of(A)}.0", f"{g.layout['hashed']}/corp.pem"}
    # Again: nothing moves, not even a file's inode.
    inode = g.path(g.layout["bundle"]).stat().st_ino
    once = g.picture()
    assert g.install("corp", A) == "/" + anchor
    assert g.picture() == once and g.path(g.layout["bundle"]).stat().st_ino == inode
    assert g.remove("corp") == {}
    assert g.picture() == before
    assert error_of(g.remove, "corp").code == "not_found"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_certificate_takes_the_place_of_the_old(guest, layout):
    g = guest(layout)
    before = g.picture()
    g.install("corp", A)
    g.install("corp", B)
    assert A not in g.bundle() and g.bundle().count(B) == 1
    assert g.hashed() == {f"{hash_of(B)}.0": "corp.pem"}
    g.remove("corp")
    assert g.picture() == before


def test_two_do_not_disturb_each_other(guest):
    g = guest("debian")
    before = g.picture()
    g.install("one", A)
    g.install("one-more", B)
    g.remove("one")
    assert B in g.bundle() and A not in g.bundle()
    assert g.hashed() == {f"{hash_of(B)}.0": "one-more.pem"}
    g.remove("one-more")
    assert g.picture() == before


def test_the_same_hash_twice_leaves_no_gap(guest):
    """OpenSSL counts HASH.0, HASH.1, ... and stops at the first that is missing."""
    g = guest("debian")
    h = hash_of(A)
    theirs = g.path("etc/ssl/certs") / f"{h}.0"
    theirs.symlink_to("theirs.pem")
    before = g.picture()
    g.install("one", A)
    g.install("two", SAME_HASH)
    g.install("three", x509.pem(x509.certificate(x509.SUBJECTS["plain"], serial=3)))
    assert g.hashed() == {f"{h}.0": "theirs.pem", f"{h}.1": "one.pem", f"{h}.2": "two.pem", f"{h}.3": "three.pem"}
    g.remove("one")
    assert g.hashed() == {f"{h}.0": "theirs.pem", f"{h}.1": "three.pem", f"{h}.2": "two.pem"}
    g.remove("three")
    assert g.hashed() == {f"{h}.0": "theirs.pem", f"{h}.1": "two.pem"}
    g.remove("two")
    assert g.picture() == before


@pytest.mark.parametrize("end", ["", "\n", "no newline", "\n\n\n"], ids=repr)
def test_what_was_in_the_bundle_stays_to_the_byte(guest, end):
    g = guest("debian")
    g.path(g.layout["bundle"]).write_text(OLD + end)
    g.install("corp", A)
    assert "\n# guestd: corp" in g.bundle()
    assert "\n-----BEGIN CERTIFICATE-----\n" + A.split("\n", 1)[1] in g.bundle()
    g.remove("corp")
    assert g.bundle() == OLD + end


def test_one_that_the_distribution_has_is_not_taken_away(guest):
    g = guest("debian")
    g.path(g.layout["bundle"]).write_text(OLD + A)
    before = g.picture()
    g.install("corp", A)
    assert g.bundle().count(A) == 1
    g.remove("corp")
    assert g.picture() == before


def test_a_bundle_that_the_distribution_made_anew(guest):
    """update-ca-certificates appends the anchors as they are."""
    g = guest("debian")
    g.install("corp", A)
    anchor = g.path(g.layout["anchor"].replace("NAME", "corp"))
    g.path(g.layout["bundle"]).write_text(OLD + anchor.read_text() + B)
    g.remove("corp")
    assert g.bundle() == OLD + B


def test_a_guest_without_a_store_gets_one(guest):
    g = guest(None)
    assert g.install("corp", A) == "/usr/local/share/ca-certificates/corp.crt"
    assert g.path("etc/ssl/certs/ca-certificates.crt").read_text().endswith(A)
    assert os.readlink(g.path(f"etc/ssl/certs/{hash_of(A)}.0")) == "corp.pem"
    assert g.path("etc/ssl/certs/ca-certificates.crt").stat().st_mode & 0o777 == 0o644
    g.remove("corp")
    assert not list(g.path("etc/ssl/certs").iterdir())
    assert not list(g.path("usr/local/share/ca-certificates").iterdir())


@pytest.mark.parametrize("what", ["anchor", "link"])
def test_somebody_elses_is_not_touched(guest, what):
    g = guest("debian")
    path = g.path("usr/local/share/ca-certificates/corp.crt" if what == "anchor" else "etc/ssl/certs/corp.pem")
    path.write_text(B)
    before = g.picture()
    e = error_of(g.install, "corp", A)
    assert e.code == "exists" and e.path == "/" + str(path.relative_to(g.root))
    assert error_of(g.remove, "corp").code == "not_found"
    assert g.picture() == before


def test_what_fails_leaves_nothing(guest):
    g = guest("debian")
    g.path("etc/ssl/ca-bundle.pem").write_bytes(b"no text\0")
    before = g.picture()
    e = error_of(g.install, "corp", A)
    assert e.code == "EINVAL" and e.path == "/etc/ssl/ca-bundle.pem"
    assert g.picture() == before


@pytest.mark.parametrize("subject", x509.SUBJECTS)
def test_the_hash_is_openssls(guest, subject):
    g = guest("debian")
    der = x509.certificate(x509.SUBJECTS[subject])
    g.install("corp", x509.pem(der))
    assert set(g.hashed()) == {f"{x509.openssl_hash(der)}.0"}


def test_openssl_finds_it(guest):
    """A real CA and a certificate that it signed, verified with the store as it is made."""
    g = guest("debian")
    d = g.root

    def openssl(*args, **more):
        return subprocess.run(["openssl", *args], cwd=d, capture_output=True, text=True, **more)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-utf8",
            "-subj", "/C=DE/O=Größe  GmbH/CN=Test Root", "-days", "30", check=True)
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=leaf",
            check=True)
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-out", "leaf.crt",
            "-set_serial", "7", "-days", "30", check=True)
    by_dir = ["verify", "-no-CAfile", "-no-CAstore", "-CApath", "found", "leaf.crt"]
    by_file = ["verify", "-no-CApath", "-no-CAstore", "-CAfile", "etc/ssl/certs/ca-certificates.crt", "leaf.crt"]
    g.install("test-root", (d / "ca.crt").read_text())
    # Links lead from the root that we are outside of.
    shutil.copytree(d / "etc/ssl/certs", d / "found", symlinks=True)
    (d / "found/test-root.pem").unlink()
    shutil.copy(d / "usr/local/share/ca-certificates/test-root.crt", d / "found/test-root.pem")
    for how in (by_dir, by_file):
        done = openssl(*how)
        assert done.returncode == 0 and "leaf.crt: OK" in done.stdout, done
    g.remove("test-root")
    assert openssl(*by_file).returncode != 0


@pytest.mark.parametrize("pem", [
    "", "no pem", A.replace("END", "FIN"), A + B, A.replace("M", "*", 1), "-----BEGIN CERTIFICATE-----\nAAAA\n"
    "-----END CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    A.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), A + "x" * 70_000,
    x509.pem(x509.certificate(x509.SUBJECTS["plain"])[:-1]), x509.pem(x509.certificate(b"\x30\x03\x31\x01\x30"))],
    ids=range(11))
def test_no_certificate(guest, pem):
    g = guest("debian")
    before = g.picture()
    e = error_of(g.install, "corp", pem)
    assert e.code == "bad_params" and "pem" in e.message
    assert g.picture() == before


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/x", "-x", ".x", "a b", "ä", "a\n", "x" * 65, b"\xff"],
                         ids=repr)
def test_no_name(guest, name):
    g = guest("debian")
    for method in ("system.ca_install", "system.ca_remove"):
        params = {"name": name, **({"pem": A} if "install" in method else {})}
        assert error_of(g.client.call, method, params).code == "bad_params"


def test_text_around_and_other_lines_are_fine(guest):
    g = guest("debian")
    der = x509.certificate(x509.SUBJECTS["plain"])
    g.install("corp", ("subject=/CN=x\r\n" + x509.pem(der, 76).replace("\n", "\r\n") + "trailer").encode())
    assert g.bundle().endswith(A)
    g.install("corp", A)
    assert g.bundle().count("# guestd: corp") == 1


def test_many_at_once(guest):
    g = guest("debian")
    before = g.picture()
    pems = [x509.pem(x509.certificate(x509.name([(x509.CN, f"CA {i}", x509.UTF8)]))) for i in range(30)]
    calls = [g.client.open("system.ca_install", {"name": f"ca-{i}", "pem": pem}) for i, pem in enumerate(pems)]
    for call in calls:
        call.wait()
    assert all(g.bundle().count(pem) == 1 for pem in pems) and len(g.hashed()) == 30
    calls = [g.client.open("system.ca_remove", {"name": f"ca-{i}"}) for i in range(30)]
    for call in calls:
        call.wait()
    assert g.picture() == before


def test_no_temporary_files(guest):
    g = guest("debian")
    for _ in range(3):
        g.install("corp", A)
        g.install("corp", B)
    assert not [p for p in g.root.rglob("*.guestd-*")]
