"""What can go wrong on a call, and whose fault it is.

ControlError
├── Invalid          the body or the query has a bad field (the caller's fault)
├── Malformed        the body is not what it says it is (the caller's fault)
├── TooLarge         the body is longer than the route takes
├── Unauthenticated  no proof of who is calling, or a bad one
├── Forbidden        known, but not allowed
├── NotFound         no such thing
├── Conflict         the request is good, the present state forbids it
└── Unavailable      the control plane can't do it now (its own fault): try again

Each becomes one HTTP answer with a `model.api.Error` body.
"""

from __future__ import annotations

from typing import ClassVar


class ControlError(Exception):
    """code: stable, snake_case. field: path of the request's field at fault, if one is."""

    status: ClassVar[int] = 500

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        self.code = code
        self.message = message
        self.field = field
        super().__init__(f"{field}: {message}" if field else message)


class Invalid(ControlError):
    status = 422

    def __init__(self, field: str, message: str, code: str = "invalid_field") -> None:
        super().__init__(code, message, field or None)


class Malformed(ControlError):
    status = 400

    def __init__(self, message: str) -> None:
        super().__init__("malformed_body", message)


class TooLarge(ControlError):
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__("body_too_large", f"the body is longer than {limit} bytes")


class Unauthenticated(ControlError):
    status = 401


class Forbidden(ControlError):
    status = 403


class NotFound(ControlError):
    status = 404

    def __init__(self, noun: str, name: str) -> None:
        super().__init__("not_found", f"there is no {noun} {name!r}")


class Conflict(ControlError):
    status = 409


class Unavailable(ControlError):
    status = 503
