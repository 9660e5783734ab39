# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An S3-compatible store that checks signatures (moto, which computes them with AWS' own botocore)."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.machines.shell import run

from .process import PLACE, free_port, running

REQUIREMENT = "moto[s3,iam,server]==5.2.5"
REGION = "eu-central-1"
# Runs with moto's own Python, which has AWS' client: a user with keys, one who may read nothing, the objects.
_FILL = """
import base64, boto3, json, sys
endpoint, region, objects = sys.argv[1], sys.argv[2], json.load(sys.stdin)
make = lambda service: boto3.client(service, endpoint_url=endpoint, region_name=region, aws_access_key_id="x", aws_secret_access_key="x")
iam, s3, keys = make("iam"), make("s3"), []
everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
for user in ("reader", "nobody"):
    iam.create_user(UserName=user)
    keys.append(iam.create_access_key(UserName=user)["AccessKey"])
iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=json.dumps(everything))
s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": region})
for key, content in objects.items():
    s3.put_object(Bucket="models", Key=key, Body=base64.b64decode(content))
print(json.dumps([{"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]} for key in keys]))
"""
_ACTIONS = 6  # those of _FILL but the objects, after which signatures are checked


@dataclass
class Store:
    """A running store with the bucket ``models``: keys that may do everything with it, and keys that may nothing."""

    endpoint: str
    reader: dict[str, str]
    nobody: dict[str, str]


@contextmanager
def store(objects: dict[str, bytes], host: str = "127.0.0.1") -> Iterator[Store]:
    """A store with these objects while the context lasts, at an address of this machine's."""
    port = free_port()
    endpoint = f"http://{host}:{port}"
    python = _python()
    with tempfile.TemporaryDirectory() as folder:
        # moto knows no other way to begin: so many requests are not checked.
        env = {"INITIAL_NO_AUTH_ACTION_COUNT": str(_ACTIONS + len(objects)), "MOTO_S3_CUSTOM_ENDPOINTS": endpoint}
        with running(
            [python.parent / "moto_server", "-H", host, "-p", str(port)], port, Path(folder) / "log", env, host
        ):
            encoded = json.dumps({key: base64.b64encode(content).decode() for key, content in objects.items()})
            filled = subprocess.run(
                [str(python), "-c", _FILL, endpoint, REGION], input=encoded, capture_output=True, text=True, check=True
            )
            reader, nobody = json.loads(filled.stdout)
            yield Store(endpoint, reader, nobody)


def _python() -> Path:
    """Python of a virtual environment with moto."""
    place = PLACE / f"moto-{REQUIREMENT.partition('==')[2]}"
    if not (place / "ready").exists():
        shutil.rmtree(place, ignore_errors=True)
        uv = [sys.executable, "-m", "uv"]
        run([*uv, "venv", "--quiet", "--python", sys.executable, str(place)], timeout=300)
        run([*uv, "pip", "install", "--quiet", "--python", str(place / "bin" / "python"), REQUIREMENT], timeout=600)
        (place / "ready").touch()
    return place / "bin" / "python"
