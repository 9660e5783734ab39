# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An object in an S3-compatible store, asked for with AWS Signature Version 4.

Written with the standard library, since one signed GET is all that is needed and an SDK would be a dependency of each
controller. Source: AWS, "Signature Version 4 signing process" and "Authenticating Requests (Amazon S3)".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.wasinn.cluster.plugins.module_utils.source import Refusal, Source

EMPTY = hashlib.sha256(b"").hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"


def object_url(bucket: str, key: str, endpoint: str = "", region: str = "us-east-1") -> str:
    """The object's address: ``ENDPOINT/BUCKET/KEY``, or without an endpoint that of AWS."""
    path = quote(key.lstrip("/"), safe="/~")
    if endpoint:
        return f"{endpoint.rstrip('/')}/{quote(bucket)}/{path}"
    return f"https://{bucket}.s3.{region}.amazonaws.com/{path}"


@dataclass
class S3(Source):
    """A store, whose credentials are ``access_key``, ``secret_key`` and perhaps ``session_token``; none for public objects."""

    bucket: str = ""
    key: str = ""
    region: str = "us-east-1"

    def secrets(self, method: str, url: str) -> dict[str, str]:
        if not self.credentials.get("access_key"):
            return super().secrets(method, url)
        return signed(method, url, self.region, self.credentials, datetime.now(timezone.utc))

    def sentence(self, refusal: Refusal) -> str:
        name, what = refusal.name, f"s3://{self.bucket}/{self.key} at {urlsplit(refusal.url).netloc}"
        found = re.search(r"<Code>(\w+)</Code>", refusal.body)
        code = found.group(1) if found else ""
        status = f"{refusal.code} {code or refusal.reason}".strip()
        region = refusal.headers.get("x-amz-bucket-region") or ""
        if region and region != self.region and refusal.code in (301, 307, 400):
            return f"{name}: {what} lies in region {region}, not {self.region} ({status}); correct s3.region"
        if code == "NoSuchBucket":
            return f"{name}: there is no bucket for {what} ({status}); correct s3.bucket or s3.endpoint"
        if refusal.code == 404:
            return f"{name}: there is no {what} ({status}); correct s3.key"
        if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"):
            return (
                f"{name}: the store does not accept the keys given for {what} ({status}); correct access_key and "
                "secret_key in artifacts_credentials (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), and s3.region"
            )
        if code == "RequestTimeTooSkewed":
            return f"{name}: the store refuses {what}, since this controller's clock is wrong ({status}); set the clock"
        if refusal.code in (401, 403):
            who = "the keys given do not allow it" if self.credentials.get("access_key") else "no keys were given"
            return (
                f"{name}: the store does not let {what} be read, {who} ({status}); give keys that may read it in "
                "artifacts_credentials (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), and check s3.key"
            )
        return super().sentence(refusal)


def signed(method: str, url: str, region: str, credentials: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The headers that sign a request without a body.

    :param url: as it is sent, so that its path and query are signed in the same spelling.
    :param now: UTC; the store allows some minutes of difference.
    """
    parts, stamp = urlsplit(url), now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc, "x-amz-content-sha256": EMPTY, "x-amz-date": stamp}
    if credentials.get("session_token"):
        headers["x-amz-security-token"] = credentials["session_token"]
    names = ";".join(sorted(headers))
    query = "&".join(sorted(parts.query.split("&"))) if parts.query else ""
    path = quote(unquote(parts.path), safe="/~") or "/"
    lines = [method, path, query, *(f"{key}:{headers[key]}" for key in sorted(headers)), "", names, EMPTY]
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"AWS4{credentials['secret_key']}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}".encode(), hashlib.sha256).hexdigest()
    proof = f"Credential={credentials['access_key']}/{scope},SignedHeaders={names},Signature={signature}"
    del headers["host"]  # the client sends it by itself
    return {**headers, "Authorization": f"{_ALGORITHM} {proof}"}
