"""``context_of``: TLS towards the broker; ``why``: the reason for a failed connection, with a remedy."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.mqtt.options import BrokerOptions, Tls
from agent.domain.errors import ConfigurationError

_EXPIRED = 10
_NOT_YET_VALID = 9
_WRONG_NAME = frozenset({62, 64})
"""X509_V_ERR_*, as in OpenSSL's x509_vfy.h."""

_ALERTS = (
    ("CERTIFICATE_REQUIRED", "it asks for a client certificate; set broker.tls.cert and broker.tls.key"),
    ("UNKNOWN_CA", "its CA did not sign broker.tls.cert; have the certificate signed by the broker's CA"),
    ("CERTIFICATE_EXPIRED", "broker.tls.cert has expired; have a new one made"),
    ("CERTIFICATE_REVOKED", "broker.tls.cert was revoked; have a new one made"),
    ("BAD_CERTIFICATE", "it does not take broker.tls.cert; have one made by the broker's CA"),
    ("UNSUPPORTED_CERTIFICATE", "it does not take broker.tls.cert; have one made for TLS clients"),
    ("PROTOCOL_VERSION", "it speaks neither TLS 1.2 nor 1.3; update the broker"),
    ("UNSUPPORTED_PROTOCOL", "it speaks neither TLS 1.2 nor 1.3; update the broker"),
    (
        "HANDSHAKE_FAILURE",
        "it refused the handshake; if it asks for a client certificate, set broker.tls.cert and "
        "broker.tls.key",
    ),
    (
        "WRONG_VERSION_NUMBER",
        "what answers there speaks no TLS; write mqtt:// or name the broker's TLS port in broker.url",
    ),
    (
        "RECORD_LAYER_FAILURE",
        "what answers there speaks no TLS; write mqtt:// or name the broker's TLS port in broker.url",
    ),
)


class _Socket(ssl.SSLSocket):
    """Remembers what ended it: the MQTT client only reports that the connection was lost."""

    trouble: ssl.SSLError | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        with self._remembering():
            return super().recv(buflen, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        with self._remembering():
            return super().send(data, flags)

    @contextlib.contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.trouble = error
            raise


def context_of(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 at least, the broker's certificate verified. Raises ConfigurationError naming key and file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    context.check_hostname = tls.verify_hostname  # only the name: the chain is always verified
    if tls.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _readable("broker.tls.ca", tls.ca)
        try:
            context.load_verify_locations(cafile=str(tls.ca))
        except (OSError, ValueError):
            raise ConfigurationError(
                f"broker.tls.ca: {tls.ca} holds no certificate; give the CA's certificate as PEM"
            ) from None
    if tls.cert is not None and tls.key is not None:
        _load_pair(context, tls.cert, tls.key)
    return context


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    _readable("broker.tls.cert", cert)
    _readable("broker.tls.key", key)
    asked: list[bool] = []

    def passphrase() -> str:
        asked.append(True)  # without this OpenSSL prompts on the terminal
        return ""

    try:
        context.load_cert_chain(str(cert), str(key), password=passphrase)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or ""
        if asked:
            what = (
                f"broker.tls.key: {key} is encrypted; give the key without a passphrase, readable by the "
                "agent's user only"
            )
        elif reason == "KEY_VALUES_MISMATCH":
            what = f"broker.tls.key: {key} is not the key of the certificate {cert}; give the pair"
        elif "BEGIN CERTIFICATE" not in _text(cert):
            what = f"broker.tls.cert: {cert} holds no certificate; give it as PEM"
        elif "PRIVATE KEY" not in _text(key):
            what = f"broker.tls.key: {key} holds no private key; give it as PEM"
        else:
            found = reason or "damaged files"
            what = f"broker.tls.cert and broker.tls.key cannot be used ({found}); make them anew"
        raise ConfigurationError(what) from None


def _readable(name: str, file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{name}: {file} cannot be read: {error.strerror}; give the agent's user the right to"
        ) from None


def _text(file: Path) -> str:
    return file.read_bytes().decode("ascii", "replace")


def trouble_of(sock: object) -> ssl.SSLError | None:
    """What ended a TLS connection, if the peer reported it."""
    return sock.trouble if isinstance(sock, _Socket) else None


def why(error: OSError, options: BrokerOptions) -> str:
    """One sentence: why the connection failed, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate is refused (CERTIFICATE_VERIFY_FAILED): {_unverified(error, options)}"
        )
    if isinstance(error, ssl.SSLEOFError):
        return _network(ConnectionError(), options)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        for word, sentence in _ALERTS:
            if word in reason.upper():
                return f"the broker cannot be reached by TLS: {sentence}"
        return f"the TLS connection failed: {reason.replace('_', ' ').lower()}; look at the broker's log"
    return _network(error, options)


def unexplained(options: BrokerOptions) -> str:
    """What to check if the peer closed the connection without an answer."""
    if not options.secure:
        return "; if the broker speaks TLS on that port, write mqtts:// in broker.url"
    if options.tls.cert is None:
        return "; if the broker asks for a client certificate, set broker.tls.cert and broker.tls.key"
    return "; it may not take broker.tls.cert: have one made by the broker's CA"


def _unverified(error: ssl.SSLCertVerificationError, options: BrokerOptions) -> str:
    if error.verify_code == _EXPIRED:
        return "it has expired; have a new one made, or set this machine's clock"
    if error.verify_code == _NOT_YET_VALID:
        return "it is not valid yet; set this machine's clock"
    if error.verify_code in _WRONG_NAME:
        return (
            f"it is not for {options.host}; write a name of the certificate in broker.url, or set "
            "broker.tls.verify_hostname to false"
        )
    trusted = "this machine trusts" if options.tls.ca is None else f"{options.tls.ca} holds"
    return (
        f"no CA that {trusted} has signed it ({error.verify_message}); set broker.tls.ca to the certificate "
        "of the broker's CA"
    )


def _network(error: OSError, options: BrokerOptions) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name {options.host} is not known on this machine; check broker.url"
    if isinstance(error, ConnectionRefusedError):
        return (
            "the connection was refused: nothing listens there; start the broker, or check host and port in "
            "broker.url"
        )
    if isinstance(error, ConnectionError) and options.secure:
        mend = "if it speaks no TLS, write mqtt:// or name the broker's TLS port in broker.url"
        if options.tls.cert is None:
            # TLS 1.3 asks for one after the handshake: the reset may overtake the alert that asks.
            mend = f"if it asks for a client certificate, set broker.tls.cert and broker.tls.key; {mend}"
        return f"what answers there hung up during the TLS handshake; {mend}"
    if isinstance(error, TimeoutError):
        return "nothing answers there; check host and port in broker.url, and the firewall"
    return f"{error.strerror or error}; check broker.url and the network"
