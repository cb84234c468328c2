"""What every program deploys in every environment: promises that hold for all of it.

Each check counts what it looked at, so that a renamed resource type cannot make it pass over nothing.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contracts.programs import TARGETS, captured, documents, only, statements
from tests.stacks.configurations import ENVIRONMENTS

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_TARGET = pytest.mark.parametrize(("program", "stack"), TARGETS)
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)


@EVERY_TARGET
@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
def test_a_program_runs_without_a_word_of_warning(program: str, stack: str, *, preview: bool) -> None:
    deployment = captured(program, stack, preview=preview)

    assert deployment.messages == ()
    assert len(deployment.resources) > 20


@EVERY_TARGET
def test_every_resource_has_the_explicit_provider(program: str, stack: str) -> None:
    deployment = captured(program, stack)
    aws = [resource for resource in deployment.resources if resource.type.startswith("aws:")]
    provider = only(deployment, "aws", "aws")

    assert len(aws) > 15
    assert all(resource.provider.startswith(provider.urn) for resource in aws)


@EVERY_TARGET
def test_the_provider_is_tied_to_one_account(program: str, stack: str) -> None:
    inputs = only(captured(program, stack), "aws", "aws").inputs
    accounts = inputs["allowedAccountIds"]

    assert len(json.loads(accounts) if isinstance(accounts, str) else accounts) == 1


@EVERY_TARGET
def test_no_document_has_a_hole(program: str, stack: str) -> None:
    texts = [json.dumps(content) for _, _, content in documents(captured(program, stack))]

    assert len(texts) > 3
    assert not any("None" in text or "null" in text or "__str__" in text for text in texts)


@EVERY_TARGET
def test_every_statement_says_what_it_is_about(program: str, stack: str) -> None:
    """A statement without action or resource is stored by KMS without effect."""
    found = list(statements(captured(program, stack)))

    assert len(found) > 15
    for resource, statement in found:
        assert statement["Sid"], resource.name
        assert statement["Action"], resource.name
        assert "Resource" in statement or resource.type == "aws:iam/role:Role", resource.name


@EVERY_TARGET
def test_everybody_is_only_ever_let_in_on_a_condition(program: str, stack: str) -> None:
    asked = {"aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalOrgID", "aws:PrincipalIsAWSService"}
    for resource, statement in statements(captured(program, stack)):
        if statement["Effect"] == "Allow" and statement.get("Principal") in ("*", {"AWS": "*"}):
            keys = {key for conditions in statement["Condition"].values() for key in conditions}
            assert keys & asked, f"{resource.name}: {statement['Sid']}"


# A permissions boundary grants nothing; every other wildcard stands in tests/criteria/reviewed_wildcards.py.
GRANTS_NOTHING = "boundary-policy"


@EVERY_TARGET
def test_no_permission_is_for_everything(program: str, stack: str) -> None:
    for resource, statement in statements(captured(program, stack)):
        if statement["Effect"] == "Allow" and resource.name != GRANTS_NOTHING:
            assert not any(action == "*" or action.endswith(":*") for action in statement["Action"]), resource.name


@EVERY_ENVIRONMENT
def test_an_environment_names_no_account_but_its_own(stack: str) -> None:
    """Production names the one account that reads its released data sets; see test_d_3 for where."""
    reader = {"222233334444"} if stack == "prod" else set()
    foreign = {"123456789012", "111122223333", "222233334444", "333344445555"} - {_account(stack)}
    texts = json.dumps(
        [one.inputs for program in ("platform", "document_assistant") for one in captured(program, stack).resources]
    )

    assert _account(stack) in texts
    assert {account for account in foreign if account in texts} == reader


def _account(stack: str) -> str:
    inputs: dict[str, Any] = captured("platform", stack).outputs["platform"]
    return str(inputs["accountId"])


@EVERY_ENVIRONMENT
def test_the_gateway_runs_behind_the_listener_and_with_its_permissions(stack: str) -> None:
    service = only(captured("platform", stack), "Service", "gateway")

    assert any("gateway-listener" in urn for urn in service.dependencies)
    assert any("gateway-permissions" in urn for urn in service.dependencies)
    assert service.inputs["networkConfiguration"]["assignPublicIp"] is False
    assert "loadBalancers" not in only(captured("platform", stack), "Service", "gateway-ingest").inputs


@EVERY_ENVIRONMENT
def test_the_workload_signs_and_announces(stack: str) -> None:
    deployment = captured("document_assistant", stack)
    signature = only(deployment, "Ciphertext").inputs
    registration = only(deployment, "BucketObject", "registration-document")
    sealed = json.loads(registration.inputs["content"])
    document = json.loads(sealed["document"])
    notification = only(deployment, "BucketNotification")

    assert signature["context"] == {"purpose": "registration", "workload": "document-assistant", "environment": stack}
    assert document["environment"] == stack
    assert set(sealed) == {"document", "signature"}
    assert registration.inputs["key"] == "registrations/document-assistant.json"
    assert all(any(f"{role}-template" in urn for urn in registration.dependencies) for role in ("answer", "support"))
    assert any("documents-queue-policy" in urn for urn in notification.dependencies)
