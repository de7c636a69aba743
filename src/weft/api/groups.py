"""The rules of security groups, one by one. The groups are a noun (`api.resources.group`)."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.resources.group import rule_info
from weft.api.route import AnyRoute, Call, Route, plain
from weft.api.schema import Empty
from weft.api.schema.groups import RuleInfo, RuleList, RuleRequest
from weft.errors import ConflictError, ExhaustedError, InvalidError, NotFoundError


async def list_rules(context: Context, call: Call[None, Empty]) -> RuleList:
    """The rules of a group."""
    groups = context.control.groups
    group = groups.find(call.path["group"])
    found = (rule_info(context.control.view, rule, group) for rule in groups.rules(group))
    return RuleList(rules=tuple(found))


async def add_rule(context: Context, call: Call[RuleRequest, Empty]) -> RuleInfo:
    """The same again changes nothing. A rule that says something else of the same flows is a
    conflict."""
    groups = context.control.groups
    rule = await groups.add_rule(call.path["group"], call.body.rule)
    return rule_info(context.control.view, rule, groups.find(call.path["group"]))


async def set_rule(context: Context, call: Call[RuleRequest, Empty]) -> RuleInfo:
    """The rule is named by its id, the beginning of its id, or its text; its id stays."""
    groups, path = context.control.groups, call.path
    rule = await groups.change_rule(path["group"], path["rule"], call.body.rule)
    return rule_info(context.control.view, rule, groups.find(path["group"]))


async def remove_rule(context: Context, call: Call[None, Empty]) -> None:
    """The rule is named by its id, the beginning of its id, or its text."""
    await context.control.groups.remove_rule(call.path["group"], call.path["rule"])


_RULES, _RULE = "/v1/groups/{group}/rules", "/v1/groups/{group}/rules/{rule}"
ROUTES: tuple[AnyRoute, ...] = (
    plain(
        "GET",
        _RULES,
        list_rules,
        "List the rules of a security group",
        RuleList,
        (NotFoundError, ConflictError),
    ),
    Route(
        method="POST",
        path=_RULES,
        handler=add_rule,
        summary="Give a security group one more rule",
        query=Empty,
        body=RuleRequest,
        answer=RuleInfo,
        status=201,
        errors=(InvalidError, NotFoundError, ConflictError, ExhaustedError),
    ),
    Route(
        method="PUT",
        path=_RULE,
        handler=set_rule,
        summary="Put another rule in the place of one",
        query=Empty,
        body=RuleRequest,
        answer=RuleInfo,
        errors=(InvalidError, NotFoundError, ConflictError),
    ),
    plain(
        "DELETE",
        _RULE,
        remove_rule,
        "Take a rule from a security group",
        None,
        (InvalidError, NotFoundError, ConflictError),
    ),
)
