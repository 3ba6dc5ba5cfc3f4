"""Writing a status, of whatever kind."""

from __future__ import annotations

from pydantic import BaseModel

from rise_operator.api import Api, Kind, Object
from rise_operator.seen import Meta


async def write_status(api: Api, kind: Kind, meta: Meta, status: BaseModel) -> Object:
    """Make the object's status this one; the object as it is then.

    The revision that was looked at goes along: what was seen too long ago is refused (ApiError, 409), and looked at
    again.
    """
    body: Object = {"metadata": {"resourceVersion": meta.resource_version}, "status": patch_of(status)}
    return await api.merge(kind, meta.namespace, meta.name, body, subresource="status")


def patch_of(status: BaseModel) -> Object:
    """A merge patch that makes the status this one: what is not there any more is named as null."""
    patch: Object = {}
    for name, field in type(status).model_fields.items():
        value = getattr(status, name)
        single = not isinstance(value, tuple)
        patch[field.alias or name] = status.model_dump(
            mode="json", by_alias=True, include={name}, exclude_none=not single
        ).get(field.alias or name)
    return patch
