"""Certificates made by hand, of whatever shape a test wants, and what OpenSSL says of them."""

import base64
import subprocess
import textwrap

UTF8, PRINTABLE, T61, IA5, NUMERIC, UNIVERSAL, BMP = 12, 19, 20, 22, 18, 28, 30
ENCODINGS = {UTF8: "utf-8", T61: "latin-1", UNIVERSAL: "utf-32-be", BMP: "utf-16-be"}

CN, C, O, OU, ST, EMAIL = ("2.5.4.3", "2.5.4.6", "2.5.4.10", "2.5.4.11", "2.5.4.8", "1.2.840.113549.1.9.1")


def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 128 | len(size)]) + size + body


def oid(dotted):
    first, second, *rest = map(int, dotted.split("."))
    out = bytearray([first * 40 + second])
    for number in rest:
        digits = [number & 127]
        while number := number >> 7:
            digits.append(128 | number & 127)
        out += bytes(reversed(digits))
    return tlv(6, bytes(out))


def name(*rdns):
    """Of RDNs, each a list of (oid, text, string type)."""
    return tlv(0x30, *(
        tlv(0x31, *sorted(tlv(0x30, oid(o), tlv(t, text if isinstance(text, bytes)
                                                 else text.encode(ENCODINGS.get(t, "ascii"))))
                          for o, text, t in rdn)) for rdn in rdns))


ALGORITHM = tlv(0x30, oid("1.2.840.113549.1.1.11"), b"\x05\0")
KEY = tlv(0x30, tlv(0x30, oid("1.2.840.113549.1.1.1"), b"\x05\0"),
          tlv(3, b"\0", tlv(0x30, tlv(2, b"\0" + b"\xc5" * 128), tlv(2, b"\1\0\1"))))
VALIDITY = tlv(0x30, tlv(23, b"200101000000Z"), tlv(23, b"400101000000Z"))


def certificate(subject, serial=1, version=True):
    """DER; the signature is nonsense, which nobody looks at before it is used."""
    tbs = tlv(0x30, *([tlv(0xa0, tlv(2, b"\2"))] if version else []), tlv(2, bytes([serial])), ALGORITHM,
              name([(CN, "issuer", UTF8)]), VALIDITY, subject, KEY)
    return tlv(0x30, tbs, ALGORITHM, tlv(3, b"\0", b"\x55" * 128))


def pem(der, width=64):
    text = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), width))
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


def openssl_hash(der):
    done = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-hash"], input=der, capture_output=True,
                          check=True)
    return done.stdout.decode().strip()


SUBJECTS = {
    "plain": name([(C, "DE", PRINTABLE)], [(O, "Example Ltd", UTF8)], [(CN, "Example Root CA", UTF8)]),
    "printable": name([(O, "  Many   BLANKS \t here  ", PRINTABLE)], [(CN, "x", PRINTABLE)]),
    "non-ascii": name([(O, "Größe ÄÖÜ 株式会社", UTF8)], [(CN, "Ünïcode 😀", UTF8)]),
    "bmp": name([(O, "Größe  株式会社", BMP)], [(CN, " BMP ", BMP)]),
    "universal": name([(CN, "Größe 😀 A", UNIVERSAL)]),
    "t61": name([(O, "Größe é", T61)], [(CN, "T61", T61)]),
    "ia5": name([(CN, "mail", UTF8)], [(EMAIL, "CA@Example.COM", IA5)]),
    "numeric": name([(CN, "12 34", NUMERIC)]),
    "multi": name([(C, "US", PRINTABLE)], [(CN, "Zebra", UTF8), (OU, "apple", UTF8), (O, "MIDDLE one", PRINTABLE)]),
    "multi-same": name([(OU, "b", UTF8), (OU, "A", UTF8), (OU, "cc  C", PRINTABLE)], [(CN, "m", UTF8)]),
    "empty": name(),
    "empty-value": name([(CN, "", UTF8)], [(O, "   ", PRINTABLE)]),
    "long": name([(O, "Long " * 40, UTF8)], [(OU, "é" * 200, T61)], [(CN, "x" * 64, PRINTABLE)]),
    "many": name(*[[(OU, f"Unit {i}", UTF8)] for i in range(60)]),
    "line ends": name([(CN, "a\r\n\v\f b", UTF8)]),
}
