"""The OpenAPI document: the contract's models by their own JSON schemas, requests included."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

_REF = "#/components/schemas/{model}"


def takes(path: str, kind: type[BaseModel] | None) -> dict[str, Any]:
    """What the document says of a path with names in it, and of one that takes `kind`."""
    said: dict[str, Any] = {}
    names = re.findall(r"{(\w+)}", path)
    if names:
        text = {"type": "string", "minLength": 1}
        said["parameters"] = [{"name": name, "in": "path", "required": True, "schema": text} for name in names]
    if kind is not None:
        schema = {"$ref": _REF.format(model=kind.__name__)}
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return said


def describe(app: FastAPI, messages: Sequence[type[BaseModel]], *, protected: bool) -> None:
    """Let `app` write its document with the schemas of these messages, and with the token where it asks for one."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, messages, protected)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way that FastAPI documents


def _document(app: FastAPI, messages: Sequence[type[BaseModel]], protected: bool) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, routes=app.routes, separate_input_output_schemas=False)
    _, schemas = models_json_schema([(kind, "validation") for kind in messages], ref_template=_REF)
    components = found.setdefault("components", {})
    components["schemas"] = dict(sorted({**components.get("schemas", {}), **schemas["$defs"]}.items()))
    if protected:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found
