"""An API server in memory, behind the seam that the operator asks it through: revisions, conflicts, nothing more."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator

from rise_operator.api import Api, ApiError, Kind, Object
from tests.unit.operator.worlds import merged_patch

Place = tuple[Kind, str, str]


class Memory(Api):
    """Whatever is written is there at once. `down` makes it unreachable; `asked` lists what it was asked."""

    def __init__(self) -> None:
        self.objects: dict[Place, Object] = {}
        self.asked: list[tuple[str, Kind, str]] = []
        self.down = False
        self.writes = 0

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        self._ask("get", kind, name)
        return copy.deepcopy(self.objects.get((kind, namespace or "", name)))

    async def list(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", page: int = 500
    ) -> AsyncIterator[Object]:
        self._ask("list", kind, namespace or "")
        wanted = dict(pair.split("=") for pair in labels.split(",") if pair)
        for (there, space, _), body in list(self.objects.items()):
            labelled = wanted.items() <= (body["metadata"].get("labels") or {}).items()
            if there == kind and namespace in (None, space) and labelled:
                yield copy.deepcopy(body)

    async def create(self, kind: Kind, namespace: str | None, body: Object) -> Object:
        place = kind, namespace or "", body["metadata"]["name"]
        self._ask("create", kind, place[2])
        if place in self.objects:
            raise ApiError("post", 409, "AlreadyExists", f"{place[2]} exists")
        return self._keep(place, body)

    async def replace(self, kind: Kind, namespace: str | None, name: str, body: Object) -> Object:
        self._ask("replace", kind, name)
        self._check_revision((kind, namespace or "", name), body)
        return self._keep((kind, namespace or "", name), body)

    async def apply(
        self, kind: Kind, namespace: str | None, name: str, body: Object, *, manager: str = "", force: bool = True
    ) -> Object:
        self._ask("apply", kind, name)
        place = kind, namespace or "", name
        return self._keep(place, merged_patch(self.objects.get(place, {}), body))

    async def merge(
        self, kind: Kind, namespace: str | None, name: str, body: Object, *, subresource: str = ""
    ) -> Object:
        self._ask("merge", kind, name)
        place = kind, namespace or "", name
        self._check_revision(place, body)
        return self._keep(place, merged_patch(self.objects[place], body))

    async def delete(self, kind: Kind, namespace: str | None, name: str, *, uid: str = "") -> None:
        self._ask("delete", kind, name)
        place = kind, namespace or "", name
        if place in self.objects and uid in ("", self.objects[place]["metadata"]["uid"]):
            del self.objects[place]

    def _ask(self, verb: str, kind: Kind, name: str) -> None:
        self.asked.append((verb, kind, name))
        if self.down:
            raise ApiError(verb, 0, "", "the API server does not answer")

    def _check_revision(self, place: Place, body: Object) -> None:
        there, wanted = self.objects.get(place), body["metadata"].get("resourceVersion")
        if there is None:
            raise ApiError("put", 404, "NotFound", f"{place[2]} is not there")
        if wanted not in (None, there["metadata"]["resourceVersion"]):
            raise ApiError("put", 409, "Conflict", f"{place[2]} has been modified")

    def _keep(self, place: Place, body: Object) -> Object:
        self.writes += 1
        there = self.objects.get(place, {}).get("metadata", {})
        numbers = {"uid": there.get("uid", f"uid-{self.writes}"), "resourceVersion": f"{self.writes}"}
        metadata = {**body["metadata"], **numbers, "namespace": place[1]}
        self.objects[place] = copy.deepcopy({**body, "metadata": metadata})
        return copy.deepcopy(self.objects[place])
