"""The packs as Pulumi asks them: pulumi-policy's own servicer in process, and the real gRPC process.

The servicer's class is private to pulumi-policy; the process is the guard against its change.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped]  # protobuf ships no types
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy import EnforcementLevel
from pulumi_policy.policy import _PolicyAnalyzerServicer
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from policy_packs.packs import PACKS
from policy_packs.remediation import REMEDIES
from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Rule, StackRule
from policy_packs.serving import as_policies, remedy_name
from policy_packs.view import UNKNOWN

FOLDERS = {name: Path("policy_packs") / name.replace("-", "_") for name in PACKS}
Analyzer = Any  # the stub and the servicer share names, not a type


class InProcess:
    """The servicer of a pack, or of some rules of it, called as the stub is."""

    def __init__(self, name: str, rules: Sequence[AnyRule] = ()) -> None:
        policies = as_policies(rules or PACKS[name])
        self._servicer = _PolicyAnalyzerServicer(name, "0.0.1", policies, EnforcementLevel.MANDATORY)

    def __getattr__(self, name: str) -> Any:
        return lambda request: getattr(self._servicer, name)(request, None)


def configure(analyzer: Analyzer, rules: Sequence[AnyRule], values: Mapping[str, object]) -> None:
    """The CLI's part: a Configure without a level would make every policy advisory."""
    settings = {rule.name: {**rule.settings, **values} for rule in rules}
    configs = {
        rule: analyzer_pb2.PolicyConfig(enforcementLevel=analyzer_pb2.MANDATORY, properties=struct(given))
        for rule, given in settings.items()
    }
    analyzer.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=configs))


@pytest.fixture(scope="module", params=list(PACKS))
def served_over_grpc(request: pytest.FixtureRequest) -> Iterator[tuple[str, Analyzer]]:
    folder = FOLDERS[request.param].resolve()
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(folder)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            analyzer = analyzer_pb2_grpc.AnalyzerStub(channel)
            configure(analyzer, PACKS[request.param], {"on_unknown": "report"})
            yield request.param, analyzer
    finally:
        process.terminate()
        process.communicate(timeout=60)


def struct(values: Mapping[str, object]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


def wire(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: wire(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [wire(inner) for inner in value]
    return UNKNOWN_STRING_VALUE if value is UNKNOWN else value


def ask(analyzer: Analyzer, rule: AnyRule, example: Any) -> list[Any]:
    """The diagnostics of one rule on one of its examples."""
    response = ask_resource(analyzer, example) if isinstance(rule, Rule) else ask_stack(analyzer, example)
    return [one for one in response.diagnostics if one.policyName == rule.name]


def ask_resource(analyzer: Analyzer, resource: Resource) -> Any:
    return analyzer.Analyze(
        analyzer_pb2.AnalyzeRequest(
            type=resource.type, urn=resource.urn, name=resource.name, properties=struct(wire(resource.props.value))
        )
    )


def ask_stack(analyzer: Analyzer, resources: tuple[Resource, ...]) -> Any:
    listed = [
        analyzer_pb2.AnalyzerResource(
            type=one.type,
            urn=one.urn,
            name=one.name,
            properties=struct(wire(one.props.value)),
            propertyDependencies={
                key: analyzer_pb2.AnalyzerPropertyDependencies(urns=urns) for key, urns in one.joined.items()
            },
        )
        for one in reversed(resources)  # rules rely on no order
    ]
    listed += [analyzer_pb2.AnalyzerResource(type="example:other:Other", urn=urn) for urn in left_out(resources)]
    return analyzer.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=listed))


def left_out(resources: tuple[Resource, ...]) -> set[str]:
    """What an example is joined to and does not name. Pulumi drops a join to what a stack does not hold."""
    return {urn for one in resources for urns in one.joined.values() for urn in urns} - {one.urn for one in resources}


def assert_promises_kept(rules: Iterable[AnyRule], analyzer: Analyzer) -> None:
    for rule in rules:
        for sentence, example in rule.obeys.items():
            assert ask(analyzer, rule, example) == [], (rule.name, sentence)
        for sentence, example in rule.breaks.items():
            found = ask(analyzer, rule, example)
            assert found, (rule.name, sentence)
            assert {one.enforcementLevel for one in found} == {analyzer_pb2.MANDATORY}, (rule.name, sentence)


@pytest.mark.parametrize("name", PACKS)
def test_graph_32_every_rule_keeps_its_promise_on_the_props_that_pulumi_hands_it(name: str) -> None:
    """Each rule is asked alone: what the others say of its examples is not asked here, and is a hundred times more."""
    for rule in PACKS[name]:
        analyzer = InProcess(name, [rule])
        configure(analyzer, [rule], {"on_unknown": "report"})
        assert_promises_kept([rule], analyzer)


def test_every_rule_keeps_its_promise_over_grpc(served_over_grpc: tuple[str, Analyzer]) -> None:
    """The whole pack at once, as in a deployment."""
    name, analyzer = served_over_grpc
    assert_promises_kept(PACKS[name], analyzer)


def test_graph_32_policy_pack_mandatory_not_advisory_with_its_controls(served_over_grpc: tuple[str, Analyzer]) -> None:
    name, analyzer = served_over_grpc
    info = analyzer.GetAnalyzerInfo(empty_pb2.Empty())
    assert info.name == name
    policies = {one.name: one for one in info.policies}
    assert len(policies) == len(info.policies)
    rules = {rule.name: rule for rule in PACKS[name]}
    remedies = {remedy_name(rule.name): rule for rule in PACKS[name] if has_remedy_beside_it(rule)}
    assert set(policies) == {*rules, *remedies}
    for announced, rule in ((policies[one], rule) for one, rule in {**rules, **remedies}.items()):
        assert announced.enforcementLevel == analyzer_pb2.MANDATORY
        assert set(rule.tags()) == set(announced.tags)
        assert announced.remediation_steps == rule.remediation


def has_remedy_beside_it(rule: AnyRule) -> bool:
    return isinstance(rule, StackRule) and rule.name in REMEDIES


KEY_TYPE = "aws:kms/key:Key"


def key(**props: object) -> Resource:
    return Resource.example(KEY_TYPE, props, "evidence")


def test_an_unknown_value_is_reported_and_nothing_else() -> None:
    analyzer = InProcess("baseline-security")
    configure(analyzer, PACKS["baseline-security"], {"on_unknown": "report"})
    [note] = ask_resource(analyzer, key(enableKeyRotation=UNKNOWN)).diagnostics
    assert note.message.startswith("can't run policy 'kms-key-require-rotation'")
    assert "enableKeyRotation" in note.message
    assert note.enforcementLevel == analyzer_pb2.ADVISORY


def test_an_unknown_value_is_refused_where_the_pack_says_deny() -> None:
    analyzer = InProcess("baseline-security")
    configure(analyzer, PACKS["baseline-security"], {"on_unknown": "deny"})
    [note] = ask_resource(analyzer, key(enableKeyRotation=UNKNOWN)).diagnostics
    assert note.enforcementLevel == analyzer_pb2.MANDATORY
    assert "not known yet" in note.message


def test_a_certain_violation_is_kept_beside_an_unknown() -> None:
    analyzer = InProcess("baseline-security")
    configure(analyzer, PACKS["baseline-security"], {"on_unknown": "report"})
    group = {"retentionInDays": 0.0, "kmsKeyId": UNKNOWN}
    notes = ask_resource(analyzer, Resource.example("aws:cloudwatch/logGroup:LogGroup", group)).diagnostics
    assert [one.enforcementLevel for one in notes] == [analyzer_pb2.MANDATORY, analyzer_pb2.ADVISORY]


def test_what_a_rule_is_not_about_is_not_applicable() -> None:
    analyzer = InProcess("baseline-security")
    configure(analyzer, PACKS["baseline-security"], {})
    answer = ask_resource(analyzer, key(keyUsage="SIGN_VERIFY"))
    named = {one.policy_name for one in answer.not_applicable}
    assert "kms-key-policy-disallow-public" in named  # the key has no policy of its own
    assert not named & {one.policyName for one in answer.diagnostics}


@pytest.mark.parametrize(
    "value",
    [None, 22.0, {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "s"}],
)
def test_null_float_and_secret_properties_crash_nothing(value: object) -> None:
    """The last one is how a secret travels; a pack gets it in clear and must not repeat it."""
    for name, rules in PACKS.items():
        analyzer = InProcess(name)
        configure(analyzer, rules, {})
        types = {resource_type for rule in rules if isinstance(rule, Rule) for resource_type in rule.resource_types}
        names = ("policy", "enableKeyRotation", "ingress", "containerDefinitions", "kmsKeyId", "serviceName")
        for resource_type in types:
            answer = ask_resource(
                analyzer, Resource(resource_type, "r", "urn:r", key(**dict.fromkeys(names, value)).props)
            )
            assert not any("the rule failed" in one.message for one in answer.diagnostics), resource_type


@pytest.mark.parametrize("name", list(PACKS))
def test_a_pack_folder_is_what_the_cli_expects(name: str) -> None:
    described = yaml.safe_load((FOLDERS[name] / "PulumiPolicy.yaml").read_text(encoding="utf-8"))
    assert described["name"] == name
    assert described["runtime"] == {"name": "python", "options": {"toolchain": "uv", "virtualenv": "../../.venv"}}
    assert (FOLDERS[name] / "__main__.py").is_file()
    assert described["version"] != "0.0.1"  # what the SDK answers when nobody chose one
