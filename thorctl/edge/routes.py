"""The allow-list of edge and door, and their answers to all other requests."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """A path of the engine and its method; ``open``: needs no key."""

    path: str
    method: str
    open: bool = False


# vLLM's own key protects /v1 only: /invocations and /inference/v1/generate (both infer), /tokenize and
# /metrics stay open. Hence an allow-list.
ROUTES = (
    Route("/health", "GET", open=True),  # status without a body, for load balancers and monitors
    Route("/v1/models", "GET"),
    Route("/v1/chat/completions", "POST"),
    Route("/v1/completions", "POST"),
    Route("/v1/responses", "POST"),
    Route("/v1/messages", "POST"),
    Route("/v1/messages/count_tokens", "POST"),
)
METRICS = Route("/metrics", "GET")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the edge itself, in a form that OpenAI's and Anthropic's clients both read.

    Attributes:
        status: sent to the client.
        causes: nginx's codes with this answer.
        headers: further headers, in nginx's notation.
    """

    status: int
    kind: str
    code: str
    message: str
    causes: tuple[int, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> str:
        """The answer as a line of JSON that nginx can quote: ASCII, no single quote, no dollar."""
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return json.dumps({"type": "error", "error": error})


_INVALID, _SERVER = "invalid_request_error", "server_error"
REFUSALS = (
    Refusal(
        400, _INVALID, "bad_request", "The request is not valid HTTP, or not over TLS.", (400, 495, 496, 497)
    ),
    Refusal(
        401,
        "authentication_error",
        "invalid_api_key",
        "No valid API key. Send it as: Authorization: Bearer KEY, or x-api-key: KEY.",
        (401,),
        (("WWW-Authenticate", 'Bearer realm="thor"'),),
    ),
    Refusal(403, "permission_error", "forbidden", "This is not allowed.", (403,)),
    Refusal(404, "not_found_error", "not_found", "There is no such path here.", (404,)),
    Refusal(
        405,
        _INVALID,
        "method_not_allowed",
        "This path does not take this method.",
        (405,),
        (("Allow", "$edge_allow"),),
    ),
    Refusal(408, _INVALID, "request_timeout", "The request came too slowly.", (408,)),
    Refusal(411, _INVALID, "length_required", "The request has no length.", (411,)),
    Refusal(413, "request_too_large", "request_too_large", "The request body is too large.", (413,)),
    Refusal(414, _INVALID, "uri_too_long", "The address is too long.", (414,)),
    Refusal(
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        "Too many requests. Try again a little later.",
        (429,),
        (("Retry-After", "5"),),
    ),
    Refusal(431, _INVALID, "headers_too_large", "The headers are too large.", (494,)),
    Refusal(500, _SERVER, "edge_error", "The request could not be handled.", (500, 501, 505)),
    Refusal(
        503,
        "overloaded_error",
        "engine_not_ready",
        "The engine does not answer: it is starting, or stopped.",
        (502, 503),
        (("Retry-After", "10"),),
    ),
    Refusal(504, _SERVER, "engine_timeout", "The engine did not answer in time.", (504,)),
)
