# SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A set of Kubernetes objects: applied by the server, pruned by label, compared as people read them.

Runs on the controller, with the dynamic client of the Python package kubernetes. Works on plain dictionaries.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Object = dict[str, Any]

#: What the server writes on its own account; no difference in these is a change.
SERVERS_OWN = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
SERVERS_ANNOTATIONS = ("deployment.kubernetes.io/revision",)
HIDDEN = "(not shown)"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class KubeError(Exception):
    """The API refused something; the text is one sentence with cause and remedy."""


def identity(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """(API group, kind, namespace, name): what makes two descriptions one object, whatever the version."""
    group = item["apiVersion"].rpartition("/")[0]
    metadata = item["metadata"]
    return group, item["kind"], metadata.get("namespace") or "", metadata["name"]


def title(item: Mapping[str, Any]) -> str:
    """``Deployment llamaedge/chat``."""
    _group, kind, namespace, name = identity(item)
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def intended(item: Mapping[str, Any]) -> Object:
    """The object without its status and without what the server adds."""
    kept = copy.deepcopy({key: value for key, value in item.items() if key != "status"})
    metadata = kept["metadata"]
    for key in SERVERS_OWN:
        metadata.pop(key, None)
    annotations = metadata.get("annotations") or {}
    for key in SERVERS_ANNOTATIONS:
        annotations.pop(key, None)
    if not annotations:
        metadata.pop("annotations", None)
    return kept


def shown(item: Mapping[str, Any]) -> Object:
    """The object as a diff may show it: values of Secrets stay out."""
    kept = dict(item)
    if item.get("kind") == "Secret":
        for field in ("data", "stringData"):
            if field in kept:
                kept[field] = dict.fromkeys(kept[field], HIDDEN)
        annotations = (kept.get("metadata") or {}).get("annotations") or {}
        if LAST_APPLIED in annotations:  # kubectl apply keeps the whole object there
            kept["metadata"] = {**kept["metadata"], "annotations": {**annotations, LAST_APPLIED: HIDDEN}}
    return kept


def differing(before: Any, after: Any) -> tuple[Any, Any]:
    """Both sides reduced to the parts that differ; lists stay whole, being short and ordered."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return before, after
    left, right = {}, {}
    for key in [*before, *(key for key in after if key not in before)]:
        if key not in after:
            left[key] = before[key]
        elif key not in before:
            right[key] = after[key]
        elif before[key] != after[key]:
            left[key], right[key] = differing(before[key], after[key])
    return left, right


def owned(item: Mapping[str, Any], path: Iterable[str], manager: str) -> bool:
    """Whether the field at *path* of the live object was applied by *manager*."""
    for entry in item["metadata"].get("managedFields") or []:
        if entry.get("manager") != manager or entry.get("operation") != "Apply":
            continue
        fields: Any = entry.get("fieldsV1") or {}
        for key in path:
            fields = fields.get(f"f:{key}") if isinstance(fields, Mapping) else None
        if fields is not None:
            return True
    return False


def at(item: Any, path: Iterable[str]) -> Any:
    """The value at *path*, or None."""
    for key in path:
        item = item.get(key) if isinstance(item, Mapping) else None
    return item


def only(item: Mapping[str, Any], path: list[str], value: Any) -> Object:
    """An object of the same name that has nothing but *value* at *path*."""
    metadata = {key: item["metadata"][key] for key in ("name", "namespace") if item["metadata"].get(key)}
    small: Object = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata}
    place = small
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    return small


def change(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Object | None:
    """A diff ``{"title", "before", "after"}`` of two intended objects (None: there is none), or None if they agree."""
    if before == after:
        return None
    whole = title(after or before or {})
    if before is None or after is None:
        return {"title": whole, "before": shown(before) if before else {}, "after": shown(after) if after else {}}
    left, right = differing(shown(before), shown(after))
    # A Secret's values are hidden on both sides: what is left to say is that they changed.
    return {"title": whole, "before": left, "after": right or ({"data": "changed"} if not left else right)}


class Objects:
    """Applies and prunes through *client*, a ``kubernetes.dynamic.DynamicClient``.

    :param manager: the name under which the server notes whose fields these are.
    :param dry_run: ask the server what would happen, and nothing more.
    :param errors: the client's ``exceptions`` module; its ``NotFoundError`` and ``ResourceNotFoundError`` are used.
    """

    def __init__(self, client: Any, errors: Any, manager: str, dry_run: bool):
        self._client, self._errors, self._manager, self._dry_run = client, errors, manager, dry_run

    def apply(self, definitions: list[Object], keep: list[list[str]]) -> Iterator[Object]:
        """Bring every definition about, in their order; gives the changes.

        :param keep: paths that go on with their live value where a definition no longer names them.
        """
        coming = {item["metadata"]["name"] for item in definitions if item["kind"] == "Namespace"}
        for definition in definitions:
            resource = self._resource(definition["kind"], definition["apiVersion"])
            if resource is None:
                raise KubeError(
                    f"The cluster does not know {definition['kind']} of {definition['apiVersion']}, so that "
                    f"{title(definition)} cannot be made. Remedy: install what brings this kind, or leave the object out."
                )
            live = self._get(resource, definition)
            if live:
                for path in keep:
                    self._hand_over(resource, definition, live, path)
            after = self._patch(resource, definition, live, coming)
            if found := change(intended(live) if live else None, intended(after)):
                yield found

    def surplus(
        self, wanted: list[Object], kinds: list[dict[str, str]], namespace: str, labels: Mapping[str, str]
    ) -> Iterator[tuple[Any, Object]]:
        """(API resource, object) of what has *labels* in *namespace* and one of *kinds*, and is not among *wanted*."""
        names = {identity(item) for item in wanted}
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        for kind in kinds:
            resource = self._resource(kind["kind"], kind["api_version"])
            if resource is None:
                continue  # the kind's CRD was never installed, or is gone and its objects with it
            for item in self._client.get(resource, namespace=namespace, label_selector=selector).to_dict()["items"]:
                item = {"apiVersion": kind["api_version"], "kind": kind["kind"], **item}
                metadata = item["metadata"]
                # What a controller made for one of ours has our labels as well (KEDA's HorizontalPodAutoscaler).
                if identity(item) in names or metadata.get("deletionTimestamp") or metadata.get("ownerReferences"):
                    continue
                yield resource, item

    def delete(self, resource: Any, item: Object) -> Object | None:
        """Delete an object that :meth:`surplus` found, and what it owns after it; gives the change."""
        if not self._dry_run:
            metadata = item["metadata"]
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
            self._client.delete(resource, name=metadata["name"], namespace=metadata.get("namespace"), body=options)
        return change(intended(item), None)

    def _resource(self, kind: str, api_version: str) -> Any:
        try:
            return self._client.resources.get(kind=kind, api_version=api_version)
        except self._errors.ResourceNotFoundError:
            return None

    def _get(self, resource: Any, item: Object) -> Object | None:
        name, namespace = item["metadata"]["name"], item["metadata"].get("namespace")
        try:
            live: Object = self._client.get(resource, name=name, namespace=namespace).to_dict()
        except self._errors.NotFoundError:
            return None
        return live

    def _patch(self, resource: Any, item: Object, live: Object | None, coming: set[str]) -> Object:
        try:
            return self._server_side(resource, item, self._manager)
        except self._errors.NotFoundError:
            # A dry run cannot look into a namespace that only the real run makes.
            if self._dry_run and not live and item["metadata"].get("namespace") in coming:
                return item
            raise

    def _hand_over(self, resource: Any, item: Object, live: Object, path: list[str]) -> None:
        """Give a field to another manager before we drop it: dropped by its only owner it falls back to its default.

        https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership
        """
        value = at(live, path)
        if at(item, path) is not None or value is None or not owned(live, path, self._manager):
            return
        self._server_side(resource, only(item, path, value), f"{self._manager}-handover")

    def _server_side(self, resource: Any, item: Object, manager: str) -> Object:
        options = {"dry_run": "All"} if self._dry_run else {}
        # By force: the definitions are the truth, also where somebody edited a field by hand.
        after: Object = self._client.server_side_apply(
            resource,
            body=item,
            namespace=item["metadata"].get("namespace"),
            force_conflicts=True,
            field_manager=manager,
            **options,
        ).to_dict()
        return after
