"""``OllamaClient``: one server; with ``Model`` and ``Reply``."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from ollama import AsyncClient, ChatResponse, ResponseError

from adapters.ollama.errors import (
    AccessRefusedError,
    ModelMissingError,
    OllamaError,
    ServerError,
    TimeLimitError,
    TooOldError,
    UnreachableError,
)
from adapters.ollama.experience import Experience
from adapters.ollama.options import OllamaOptions

logger = logging.getLogger(__name__)

Message = Mapping[str, Any]
T = TypeVar("T")

OLDEST = (0, 5)
"""The first version whose answers follow a JSON schema."""
LOOK_S = 5.0
"""Longest wait for what a server answers without running a model."""
HOLD_S = 30.0
"""Shortest time that the model stays in memory between two instructions about one product."""
_LONGEST_REASON = 300
_REFUSED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the server has."""

    name: str
    digest: str
    """sha256 of its manifest: equal digests are the same weights and template."""
    capabilities: frozenset[str] = frozenset()
    """Such as ``vision`` and ``thinking``; empty if an older server does not list them."""

    @property
    def sees(self) -> bool:
        """Whether it takes images."""
        return "vision" in self.capabilities

    @property
    def thinks(self) -> bool:
        """Whether thinking before the answer can be switched on and off."""
        return "thinking" in self.capabilities


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer."""

    content: str
    think: bool | None
    """Whether it was asked to think; None if the request did not mention it."""
    cut: bool
    """Whether the limit of tokens cut it off."""
    read: tuple[int, float] = (0, 0.0)
    """Tokens of the question that were read, and the seconds that took."""
    written: tuple[int, float] = (0, 0.0)
    """Tokens of the answer, and the seconds that took."""


class OllamaClient:
    """One server. Usable from any thread without a running event loop.

    All methods raise OllamaError: UnreachableError, TimeLimitError, ModelMissingError or ServerError.
    """

    def __init__(self, options: OllamaOptions) -> None:
        self._options = options
        self._calls: dict[asyncio.AbstractEventLoop, asyncio.Task[Any]] = {}
        self._experiences: dict[str, Experience] = {}
        self._closed = False
        self._lock = threading.Lock()

    def close(self) -> None:
        """Cancel running calls and refuse later ones: a stopping agent waits for no model."""
        with self._lock:
            self._closed = True
            for loop, task in self._calls.items():
                loop.call_soon_threadsafe(task.cancel)

    def experience(self, model: Model) -> Experience:
        """What the model's answers to this client have shown so far."""
        with self._lock:
            return self._experiences.setdefault(model.digest or model.name, Experience())

    def version(self) -> str:
        """The server's version; ``unknown`` if it gives none."""

        async def ask(_: AsyncClient) -> str:
            # Ollama's client lacks this call.
            url = self._options.url
            async with httpx.AsyncClient(**_transport(url), headers=self._headers()) as plain:
                answer = await plain.get(f"{url}/api/version")
            if answer.status_code in _REFUSED:
                raise ResponseError(answer.reason_phrase, answer.status_code)
            content = answer.json() if answer.is_success else {}
            return _line(str(content.get("version", "unknown")))[:64]

        return self._call(ask, LOOK_S)

    def supported_version(self) -> str:
        """The server's version. Raises TooOldError if its answers follow no schema."""
        version = self.version()
        found = re.match(r"v?(\d+)\.(\d+)", version)
        # Versions that people build themselves are called 0.0.0.
        if found is not None and (0, 0) < (int(found[1]), int(found[2])) < OLDEST:
            raise _too_old(self._options.url, version)
        return version

    def models(self) -> dict[str, str]:
        """All models of the server, name to digest."""

        async def ask(client: AsyncClient) -> dict[str, str]:
            listed = await client.list()
            return {model.model: model.digest or "" for model in listed.models if model.model}

        return self._call(ask, LOOK_S)

    def model(self, name: str | None = None) -> Model:
        """The model of that name (None: the configured one) with digest and capabilities."""
        name = name or self._options.model
        digest = _find(self.models(), name)
        if digest is None:
            raise _missing(name, self._options.url)

        async def ask(client: AsyncClient) -> frozenset[str]:
            return frozenset((await client.show(name)).capabilities or ())

        return Model(name, digest, self._call(ask, LOOK_S, name))

    def load(self, model: Model) -> None:
        """Have the server load the model, with the context that questions will have.

        Without it the first question would wait for the load, within a limit that is made for an answer.
        """
        options = self._options

        async def ask(client: AsyncClient) -> None:
            await client.generate(
                model=model.name, keep_alive=self._keep_alive_s, options={"num_ctx": options.num_ctx}
            )

        try:
            self._call(ask, options.load_timeout_s, model.name)
        except TimeLimitError:
            raise TimeLimitError(
                f"Ollama at {options.url} did not load {model.name} within {options.load_timeout_s:.3g} s; "
                "raise ollama.load_timeout_s, or take a smaller model"
            ) from None
        except ServerError as error:
            logger.info("%s could not be loaded before it is asked: %s", model.name, error)

    def chat(
        self,
        model: Model,
        messages: Sequence[Message],
        schema: Mapping[str, Any],
        *,
        seed: int,
        think: bool | None = None,
        num_predict: int | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Send one chat request.

        Args:
            schema: JSON schema of the answer, limited to what the server's grammar compiler knows.
            seed: of the sampling.
            think: None leaves thinking unmentioned. So does a retry after a server or model refused it.
            num_predict: most tokens of the answer; None, or more than configured: the configured limit.
            timeout_s: for the whole answer; None: the configured limit.
        """
        options = self._options
        limit = min(options.timeout_s, timeout_s) if timeout_s is not None else options.timeout_s
        common: dict[str, Any] = {
            "model": model.name,
            "messages": list(messages),
            "format": dict(schema),
            "keep_alive": self._keep_alive_s,
            "options": {
                "seed": seed,
                "temperature": options.temperature,
                "top_p": options.top_p,
                "num_ctx": options.num_ctx,
                "num_predict": min(num_predict or options.num_predict, options.num_predict),
            },
        }

        async def ask(client: AsyncClient) -> Reply:
            asked = think
            try:
                answer: ChatResponse = await client.chat(**common, think=asked)
            except ResponseError as error:
                if asked is None or not _refuses_thinking(error):
                    raise
                asked = None
                answer = await client.chat(**common)
            return Reply(
                answer.message.content or "",
                asked,
                answer.done_reason == "length",
                read=_measured(answer.prompt_eval_count, answer.prompt_eval_duration),
                written=_measured(answer.eval_count, answer.eval_duration),
            )

        return self._call(ask, limit, model.name)

    def release(self, model: Model) -> None:
        """Unload the model as configured. It unloads by itself soon after, so a failure is only logged."""
        if self._options.keep_alive_s >= HOLD_S:
            return

        async def ask(client: AsyncClient) -> None:
            await client.generate(model=model.name, keep_alive=self._options.keep_alive_s)

        try:
            self._call(ask, LOOK_S, model.name)
        except OllamaError as error:
            logger.info("%s stays in Ollama's memory for up to %.0f s: %s", model.name, HOLD_S, error)

    @property
    def _keep_alive_s(self) -> float:
        """How long the model stays in memory after one of several answers."""
        return max(self._options.keep_alive_s, HOLD_S)

    def _headers(self) -> dict[str, str]:
        return {} if self._options.key is None else {"Authorization": f"Bearer {self._options.key}"}

    def _call(
        self, ask: Callable[[AsyncClient], Awaitable[T]], timeout_s: float, model: str | None = None
    ) -> T:
        """Run ``ask`` within the time limit; every failure becomes an OllamaError with a sentence."""
        url = self._options.url

        async def within() -> T:
            with self._breakable():
                async with (
                    asyncio.timeout(timeout_s),
                    AsyncClient(host=url, headers=self._headers(), **_transport(url)) as client,
                ):
                    return await ask(client)

        try:
            return asyncio.run(within())
        except asyncio.CancelledError:
            raise UnreachableError(f"the agent stops and waits no longer for Ollama at {url}") from None
        except TimeoutError:
            raise TimeLimitError(
                f"Ollama at {url} did not answer within {timeout_s:.3g} s; raise ollama.timeout_s and "
                "ollama.budget_s, or take a smaller model"
            ) from None
        except ResponseError as error:
            raise self._explained(error, model) from None
        except (ConnectionError, httpx.ConnectError):
            raise UnreachableError(
                f"nobody answers at {url}; start it with `ollama serve`, or set ollama.url"
            ) from None
        except (httpx.HTTPError, OSError) as error:
            reason = _line(str(error)) or type(error).__name__
            raise ServerError(
                f"the connection to Ollama at {url} broke off ({reason}); see its log"
            ) from None
        except (ValueError, TypeError, AttributeError, KeyError):
            # The client library raises these for an answer that is not JSON, or not Ollama's.
            logger.debug("an answer of %s could not be read", url, exc_info=True)
            raise ServerError(f"{url} answers, but not as Ollama does; check ollama.url") from None

    def _explained(self, error: ResponseError, model: str | None) -> OllamaError:
        url, reason = self._options.url, _line(str(error.error))
        if error.status_code in _REFUSED:
            keyless = self._options.key is None
            what = "wants a key" if keyless else "refuses the key of ollama.key_file"
            how = "write it into a file and set ollama.key_file" if keyless else "write the right one there"
            return AccessRefusedError(
                f"Ollama at {url} {what} ({error.status_code}); {how}, and restart the agent"
            )
        if error.status_code == httpx.codes.NOT_FOUND:
            if model is not None and "model" in reason.lower():
                return _missing(model, url)
            return ServerError(f"{url} answers, but not as Ollama does; check ollama.url")
        if error.status_code == httpx.codes.BAD_REQUEST and "unmarshal" in reason and ".format" in reason:
            return _too_old(url, "before 0.5")
        return ServerError(f"Ollama at {url} answered with an error ({error.status_code}): {reason}")

    @contextmanager
    def _breakable(self) -> Iterator[None]:
        """Within it, :meth:`close` cancels the running call."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        with self._lock:
            if self._closed or task is None:
                raise asyncio.CancelledError
            self._calls[loop] = task
        try:
            yield
        finally:
            with self._lock:
                del self._calls[loop]


def _transport(url: str) -> dict[str, Any]:
    """How to connect: the environment's proxies do not apply to this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return {"verify": _tls(), "trust_env": not local}


@cache
def _tls() -> ssl.SSLContext:
    """The trusted certificates; reading them takes longer than most calls."""
    return httpx.create_ssl_context()


def _find(models: Mapping[str, str], name: str) -> str | None:
    """The digest of a model; a name without a tag means its ``latest``."""
    known = {model.lower(): digest for model, digest in models.items()}
    wanted = name.lower()
    tagged = wanted if ":" in wanted.rpartition("/")[2] else f"{wanted}:latest"
    return known.get(tagged, known.get(wanted))


def _missing(name: str, url: str) -> ModelMissingError:
    return ModelMissingError(f"{url} lacks the model; run: ollama pull {name}")


def _refuses_thinking(error: ResponseError) -> bool:
    return error.status_code == httpx.codes.BAD_REQUEST and "think" in str(error.error).lower()


def _too_old(url: str, version: str) -> TooOldError:
    needed = ".".join(map(str, OLDEST))
    return TooOldError(
        f"Ollama at {url} is version {version}, and answers in a given form need {needed} or later; "
        "update Ollama"
    )


def _measured(tokens: int | None, nanoseconds: int | None) -> tuple[int, float]:
    return tokens or 0, (nanoseconds or 0) / 1e9


def _line(text: str) -> str:
    """A server's message on one printable line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_REASON]
