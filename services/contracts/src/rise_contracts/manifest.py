"""Manifests: YAML text to resources, with line and column in every complaint.

Pure: it takes text and gives models. Reading the file is for the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from rise_contracts import errors, pools, resources, words

Resource = resources.RelayJob | resources.ModelFamily | pools.StagePool

_KINDS: dict[str, type[Resource]] = {
    "RelayJob": resources.RelayJob,
    "ModelFamily": resources.ModelFamily,
    "StagePool": pools.StagePool,
}


def load(text: str, source: str = "manifest") -> tuple[Resource, ...]:
    """Every document of `text`, in order. Raises InvalidInput naming `source`, line and column."""
    documents = _compose(text, source)
    if not documents:
        raise errors.InvalidInput(
            source, "at least one resource", "an empty document", "start with apiVersion and kind"
        )
    return tuple(_resource(node, source) for node in documents)


def load_job(text: str, source: str = "manifest") -> resources.RelayJob:
    """The one RelayJob in `text`."""
    found = load(text, source)
    if len(found) != 1 or not isinstance(found[0], resources.RelayJob):
        raise errors.InvalidInput(source, "exactly one RelayJob", [item.kind for item in found])
    return found[0]


def load_family(text: str, source: str = "manifest") -> resources.ModelFamily:
    """The one ModelFamily in `text`."""
    found = load(text, source)
    if len(found) != 1 or not isinstance(found[0], resources.ModelFamily):
        raise errors.InvalidInput(source, "exactly one ModelFamily", [item.kind for item in found])
    return found[0]


def dump(resource: BaseModel) -> str:
    """The manifest of a resource, without the fields that are at their defaults (kind and version stay)."""
    data = resource.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    head = {key: getattr(resource, attribute) for key, attribute in (("apiVersion", "api_version"), ("kind", "kind"))}
    return str(yaml.safe_dump({**head, **data}, sort_keys=False, allow_unicode=True))


def _compose(text: str, source: str) -> list[yaml.Node]:
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        # "---" at the end of a file makes an empty document, which is nobody's mistake.
        return [node for node in nodes if node.tag != "tag:yaml.org,2002:null"]
    except yaml.MarkedYAMLError as error:
        place = f"{source}{_at(error.problem_mark)}"
        raise errors.InvalidInput(place, "valid YAML", error.problem or "a syntax error") from error
    except yaml.YAMLError as error:
        raise errors.InvalidInput(source, "valid YAML", str(error).splitlines()[0]) from error


def _resource(node: yaml.Node, source: str) -> Resource:
    where = f"{source}{_at(node.start_mark)}"
    try:
        data = yaml.constructor.SafeConstructor().construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise errors.InvalidInput(f"{source}{_at(error.problem_mark)}", "plain YAML", error.problem) from error
    except (ValueError, RecursionError) as error:
        raise errors.InvalidInput(where, "plain YAML", str(error)) from error
    if not isinstance(data, dict):
        raise errors.InvalidInput(where, "a resource (a mapping with apiVersion and kind)", type(data).__name__)
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        place = f"{source}{_at(_find(node, ('kind',)).start_mark)}: kind"
        raise errors.UnknownName("kind", str(kind), _KINDS, field=place)
    try:
        return _KINDS[kind].model_validate(data)
    except ValidationError as error:
        raise _complaint(error, node, kind, source) from error


def _complaint(error: ValidationError, node: yaml.Node, kind: str, source: str) -> errors.InvalidInput:
    """The first problem as one line; unknown fields first, for they often cause the others."""
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    loc = tuple(problem["loc"])
    path = ".".join(str(part) for part in loc) or kind
    more = f"and {len(problems) - 1} more" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        place = f"{source}{_at(_find(node, loc, key=True).start_mark)}: {path}"
        return errors.UnknownName("field", str(loc[-1]), _fields_at(_KINDS[kind], loc[:-1]), field=place)
    place = f"{source}{_at(_find(node, loc).start_mark)}: {path}"
    if problem["type"] == "missing":
        return errors.InvalidInput(place, "a value", "nothing", more)
    wanted = words.wanted(problem["type"], problem["msg"], problem.get("ctx", {}))
    got = problem["input"] if not isinstance(problem["input"], dict | list | BaseModel) else "this"
    return errors.InvalidInput(place, wanted, got, more)


def _find(node: yaml.Node, loc: Sequence[int | str], *, key: bool = False) -> yaml.Node:
    """The node at `loc`, or the nearest one above it; with `key`, the key node rather than its value."""
    for depth, part in enumerate(loc):
        last = depth == len(loc) - 1
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:
                return node
            node = pair[0] if key and last else pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            return node
    return node


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The field names, as manifests spell them, of the model that `loc` leads to."""
    current: type[BaseModel] = model
    for part in loc:
        if isinstance(part, int):
            continue
        field = next((f for n, f in current.model_fields.items() if part in (n, f.alias)), None)
        inner = _model_in(field.annotation) if field is not None else None
        if inner is None:
            return []
        current = inner
    return [field.alias or name for name, field in current.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def _at(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
