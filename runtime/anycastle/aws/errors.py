"""What can go wrong between a host and AWS, said so that its reader knows what to do.

    AwsError
    ├── NoCredentials   nothing on this host says who it is
    ├── Expired         its credentials have ended
    ├── NotAllowed      its role may not do this
    ├── Absent          there is no such secret, key or bucket
    ├── WrongRegion     it lies in another region
    ├── Throttled       AWS asked us to slow down more often than we retried
    ├── Unreachable     no answer
    └── Refused         everything else, in AWS's words

`explain` is pure: what botocore raised goes in, what is raised instead comes out.
Error codes: "Common errors" of the AWS API references of Secrets Manager, KMS and S3.
"""

from __future__ import annotations

from dataclasses import dataclass

from botocore import exceptions as boto


class AwsError(Exception):
    """The message says what was tried on which resource, what is wrong, and whose fault."""


class NoCredentials(AwsError):
    """Nothing on this host says who it is."""


class Expired(AwsError):
    """The host's credentials have ended."""


class NotAllowed(AwsError):
    """The host's role may not do this."""


class Absent(AwsError):
    """There is no such resource."""


class WrongRegion(AwsError):
    """The resource lies in another region than the one that was asked."""


class Throttled(AwsError):
    """AWS asked us to slow down more often than we retried."""


class Unreachable(AwsError):
    """No answer."""


class Refused(AwsError):
    """Anything else that AWS refuses, in its own words."""


@dataclass(frozen=True)
class Attempt:
    """What was tried. doing: e.g. `read secret`. resource: ARN or name."""

    doing: str
    resource: str
    region: str

    def __str__(self) -> str:
        return f"{self.doing} {self.resource} in {self.region}"


_ENDED = """this host's credentials have ended; the instance profile renews them by itself, so \
look at the host's clock and its metadata service"""
_FORBIDDEN = """the host's role may not do this: its policy comes from components/aws, so `pulumi \
up` the stack, and see that the ARN is the one in the policy"""
_UNKNOWN = "AWS does not know these credentials, or the host's clock is wrong"
_NONE = """there is none; `pulumi up` the stack that makes it, and see that region and name in the \
stack file are the same"""
_ELSEWHERE = "it lies in another region: correct the region in the stack file"
_SLOWER = """AWS asked us to slow down and went on asking; try again later, or raise the account's \
quota"""

_ADVICE: tuple[tuple[type[AwsError], str, str], ...] = (
    (Expired, _ENDED, "ExpiredToken ExpiredTokenException RequestExpired"),
    (NotAllowed, _FORBIDDEN, "AccessDenied AccessDeniedException UnauthorizedOperation"),
    (
        NotAllowed,
        _UNKNOWN,
        "InvalidClientTokenId UnrecognizedClientException SignatureDoesNotMatch AuthFailure",
    ),
    (Absent, _NONE, "ResourceNotFoundException NoSuchBucket NotFoundException NoSuchKey"),
    (WrongRegion, _ELSEWHERE, "PermanentRedirect AuthorizationHeaderMalformed"),
    (
        Throttled,
        _SLOWER,
        "ThrottlingException Throttling TooManyRequestsException SlowDown RequestLimitExceeded",
    ),
)
_BY_STATUS: dict[int, tuple[type[AwsError], str]] = {
    403: (NotAllowed, _FORBIDDEN),
    404: (Absent, _NONE),
    429: (Throttled, _SLOWER),
}
"""What is left when the answer has no code that we know."""
_BY_CODE = {code: (kind, advice) for kind, advice, codes in _ADVICE for code in codes.split()}


def explain(error: boto.BotoCoreError | boto.ClientError, attempt: Attempt) -> AwsError:
    """The error to raise instead of botocore's."""
    if isinstance(error, boto.ClientError):
        return _answered(error, attempt)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return NoCredentials(
            f"{attempt}: nothing on this host says who it is: it needs the instance profile "
            "that components/aws gives to nodes (or AWS_… in the environment)"
        )
    if isinstance(error, boto.CredentialRetrievalError | boto.MetadataRetrievalError):
        return NoCredentials(f"{attempt}: the credentials could not be fetched: {error}")
    if isinstance(error, boto.HTTPClientError | boto.EndpointConnectionError):
        return Unreachable(
            f"{attempt}: no answer: {error}; a private subnet needs the service's endpoint"
        )
    return Refused(f"{attempt}: {error}")


def _answered(error: boto.ClientError, attempt: Attempt) -> AwsError:
    answer = error.response.get("Error", {})
    code, said = answer.get("Code", "no code"), answer.get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    kind, advice = _BY_CODE.get(code) or _BY_STATUS.get(status, (Refused, ""))
    text = f"{attempt}: {code}: {said}".rstrip(": ")
    return kind(f"{text} ({advice})" if advice else text)
