"""Failures of requests to S3: which may pass by themselves, and what a user can do about the others.

Imported by `failures` when S3 is used, for its libraries take a second to load.
Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from collections.abc import Iterator
from typing import Any

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

KINDS = (boto.BotoCoreError, boto.ClientError, ResponseParserError, aiohttp.ClientError)

_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile AWS_PROFILE"
_RIGHTS = (
    "the credentials may not do this; they need s3:ListBucket, s3:ListBucketMultipartUploads, s3:GetObject, "
    "s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload here"
)
_REGION = "the bucket is in another region; set AWS_DEFAULT_REGION to it"
_NAME = "that is no name of a bucket; use another one"
_AGAIN = "run again, finished shards are kept"
_HELP = {
    "NoSuchBucket": "there is no such bucket; create it or use another one",
    "InvalidBucketName": _NAME,
    "InvalidAccessKeyId": f"the storage does not know the key; {_KEYS}",
    "SignatureDoesNotMatch": f"the storage refuses the secret key; {_KEYS}",
    "ExpiredToken": f"the credentials have expired; get new ones and {_AGAIN}",
    "InvalidToken": f"the session token is refused; {_KEYS} and AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": f"this machine's clock is wrong; set it and {_AGAIN}",
    "AccessDenied": _RIGHTS,
    "403": f"{_RIGHTS}; or {_KEYS}",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "301": _REGION,
    "400": f"the storage refuses the request; {_KEYS} and AWS_DEFAULT_REGION",
}
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
    boto.ProfileNotFound,
)
_PASSING = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.IncompleteReadError,
    boto.ChecksumError,
    ResponseParserError,
    aiohttp.ClientError,
)
# A restarted server forgets uploads that were not complete; a damaged body is refused by its checksum.
_PASSING_CODES = {"NoSuchUpload", "InvalidPart", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"}
_PASSING_CODES |= {"SlowDown", "RequestTimeout", "OperationAborted"}


def may_pass(err: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    for response in _responses(err):
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return status >= 500 or status == 429 or _code(response) in _PASSING_CODES
    return isinstance(err, _PASSING) and not isinstance(err, boto.SSLError)


def no_bucket(err: BaseException) -> bool:
    """Whether what is missing is the bucket."""
    return "NoSuchBucket" in map(_code, _responses(err))


def message(err: BaseException) -> str | None:
    """What the storage said; None when it gave no answer."""
    for response in _responses(err):
        return str(response.get("Error", {}).get("Message") or _code(response))
    return None


def advice(err: BaseException) -> str | None:
    """What to do; None when this is no failure that only S3 has."""
    for response in _responses(err):
        return _HELP.get(_code(response))
    if isinstance(err, _NO_CREDENTIALS):
        return (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role that may use "
            "the bucket"
        )
    if isinstance(err, boto.ParamValidationError):
        return _NAME
    if isinstance(err, ValueError):
        return "check AWS_ENDPOINT_URL and AWS_DEFAULT_REGION"
    if isinstance(err, boto.ConnectionError):
        return f"the storage is not reached; check AWS_ENDPOINT_URL and the network, then {_AGAIN}"
    return None


def _responses(err: BaseException) -> Iterator[dict[str, Any]]:
    """The storage's answer, if it gave one: s3fs keeps botocore's error as the cause of its own."""
    for link in (err, err.__cause__):
        if isinstance(link, boto.ClientError):
            yield link.response


def _code(response: dict[str, Any]) -> str:
    return str(response.get("Error", {}).get("Code", ""))
