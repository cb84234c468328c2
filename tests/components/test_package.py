"""The component package: its schema is what the components take, and each is constructed from plain data.

Components are constructed by the SDK's own provider inside a program on the stand-in engine, which knows the
properties of every AWS type. The plugin itself is started as Pulumi starts it, and asked over gRPC.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from components.component import PACKAGE
from components.package import HOSTED, VERSION, provider
from stacks.local import engine
from tests.stacks.configurations import REPOSITORY
from tests.stacks.local.planted import plant

FOLDER = REPOSITORY / "components"
PROJECT = 'name: planted\nruntime: python\nconfig:\n  pulumi:disable-default-providers: {value: ["*"]}\n'
Plain = dict[str, Any]  # Any: JSON, as another language sends it
KEY = "arn:aws:kms:eu-west-1:111122223333:key/1"
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]})
MODEL: Plain = {
    "id": "nova-lite",
    "foundationModel": "amazon.nova-lite-v1:0",
    "geoProfile": "",
    "destinationRegions": ["eu-west-1"],
    "perWorkload": True,
}

# What another language would send for each component; numbers arrive as floats.
EXAMPLES: dict[str, Plain] = {
    "BedrockAccess": {
        "accountId": "111122223333",
        "region": "eu-west-1",
        "profilePrefix": "llm",
        "models": [MODEL],
        "workloads": ["tickets"],
        "tags": {"env": "dev"},
    },
    "BedrockGuardrail": {"guardrailName": "llm", "keyArn": KEY, "region": "eu-west-1", "tier": "CLASSIC"},
    "Cache": {
        "cacheName": "limits",
        "userName": "gateway",
        "majorVersion": "8",
        "dataGbMax": 1.0,
        "ecpuPerSecondMax": 1000.0,
        "subnetIds": ["subnet-1", "subnet-2"],
        "securityGroupId": "sg-1",
        "keyArn": KEY,
    },
    "DataKey": {"purpose": "tickets", "alias": "alias/tickets", "use": "ENCRYPT_DECRYPT", "policy": POLICY},
    "EncryptionControl": {"vpcId": "vpc-1", "mode": "monitor", "wayOut": False},
    "EnforcedGuardrail": {
        "guardrailArn": "arn:aws:bedrock:eu-west-1:111122223333:guardrail/abc",
        "guardrailVersion": "1",
        "embeddingModels": [],
    },
    "GatewayDashboard": {
        "dashboardName": "gateway",
        "region": "eu-west-1",
        "environment": "dev",
        "loadBalancer": "app/gateway/1",
        "clusterName": "gateway",
        "serviceName": "gateway",
    },
    "ImageRepository": {"repositoryName": "tickets", "keyArn": KEY},
    "LogGroup": {"logGroupName": "/tickets", "keyArn": KEY, "retentionDays": 30.0, "deletionProtection": True},
    "PermissionsBoundary": {"accountId": "111122223333", "policyName": "boundary"},
    "S3Endpoint": {"region": "eu-west-1", "vpcId": "vpc-1", "routeTableIds": ["rtb-1"], "policy": POLICY},
    "ServiceAlarms": {
        "environment": "dev",
        "topicArn": "arn:aws:sns:eu-west-1:111122223333:alarms",
        "clusterName": "gateway",
        "loadBalancer": "app/gateway/1",
        "targetGroup": "targetgroup/gateway/1",
        "services": [{"name": "serve", "serviceName": "gateway", "tasksMin": 2.0}],
        "queues": [{"name": "tickets", "queueName": "tickets", "deadLetterQueueName": "tickets-dead"}],
    },
    "ServiceEndpoints": {
        "region": "eu-west-1",
        "vpcId": "vpc-1",
        "subnetIds": ["subnet-1", "subnet-2"],
        "securityGroupId": "sg-1",
        "policies": {"kms": POLICY},
    },
    "WorkloadRegistration": {
        "workload": "tickets",
        "environment": "dev",
        "bucket": "registrations",
        "keyArn": KEY,
        "document": "{}",
        "templates": {"answer": "text"},
    },
}

PROGRAM = """
import pulumi
import pulumi_aws as aws
from components.package import provider

def main():
    package, known = provider(), {}
    for name, kind, inputs, references in json.loads(WANTED):
        inputs = {**inputs, **{key: known[resource][output] for key, (resource, output) in references.items()}}
        made = package.construct(name, kind, inputs, pulumi.ResourceOptions(providers=[PROVIDER]))
        known[name] = made.state

PROVIDER = aws.Provider("aws", region="eu-west-1")
main()
"""
Wanted = tuple[str, str, Plain, dict[str, tuple[str, str]]]


def constructed(folder: Path, *wanted: Wanted) -> engine.Deployment:
    """Each component by the package's provider, in one program; `references` name outputs of earlier ones."""
    head = f"import json\nWANTED = {json.dumps(wanted)!r}\n"
    return engine.run(plant(folder, PROGRAM, project=PROJECT, head=head), "dev")


def schema() -> Plain:
    text = provider().schema
    read: Plain = json.loads(text) if isinstance(text, str) else {}
    return read


@pytest.mark.parametrize("component", HOSTED, ids=lambda component: str(component.__name__))
def test_every_hosted_component_is_constructed_from_plain_data(component: type, tmp_path: Path) -> None:
    name = component.__name__

    deployment = constructed(tmp_path, ("one", f"{PACKAGE}:index:{name}", EXAMPLES[name], {}))

    [made] = [one for one in deployment.resources if one.type == f"{PACKAGE}:components:{name}"]
    children = [one for one in deployment.resources if one.parent == made.urn]
    assert children
    assert all("::aws::" in child.provider for child in children)


@pytest.mark.parametrize("component", HOSTED, ids=lambda component: str(component.__name__))
def test_the_schema_demands_what_the_component_demands(component: type) -> None:
    described = schema()["resources"][f"{PACKAGE}:index:{component.__name__}"]
    taken = vars(component)["__init__"].__annotations__["args"].__annotations__

    assert described["isComponent"] is True
    assert {_snake(key) for key in described["inputProperties"]} == set(taken)
    assert {_snake(key) for key in described.get("requiredInputs", [])} == {
        name for name, annotation in taken.items() if typing.get_origin(annotation) is not typing.NotRequired
    }
    assert described["description"]


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def test_a_missing_input_and_a_wrong_enum_value_are_refused_by_name(tmp_path: Path) -> None:
    kind = f"{PACKAGE}:index:DataKey"
    with pytest.raises(engine.EngineError, match="Missing required input 'policy' on 'DataKey'"):
        constructed(tmp_path / "a", ("one", kind, {"purpose": "x", "alias": "alias/x", "use": "SIGN_VERIFY"}, {}))
    with pytest.raises(engine.EngineError, match="Invalid value EVERYTHING"):
        constructed(tmp_path / "b", ("one", kind, {**EXAMPLES["DataKey"], "use": "EVERYTHING"}, {}))


# --- the plugin -----------------------------------------------------------------------------------


def test_the_plugin_starts_as_pulumi_starts_it_and_answers_with_the_schema(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-u", str(FOLDER / "__main__.py"), "127.0.0.1:1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            stub: Any = provider_pb2_grpc.ResourceProviderStub(channel)
            answered = json.loads(stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=60).schema)
    finally:
        process.terminate()
        process.communicate(timeout=60)

    assert (answered["name"], answered["version"]) == (PACKAGE, VERSION)
    assert answered["resources"].keys() == {f"{PACKAGE}:index:{component.__name__}" for component in HOSTED}


def test_the_plugin_folder_is_what_pulumi_expects() -> None:
    described = yaml.safe_load((FOLDER / "PulumiPlugin.yaml").read_text(encoding="utf-8"))

    assert described["runtime"] == {"name": "python", "options": {"toolchain": "uv"}}
    # The folder is first on the plugin's path: a file of ours must not stand before a module of Python's.
    assert {path.stem for path in FOLDER.iterdir()} & set(sys.stdlib_module_names) <= {"__main__"}


# --- the example in the documentation -------------------------------------------------------------


def example() -> Plain:
    text = (REPOSITORY / "docs" / "components.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    read: Plain = yaml.safe_load(block)
    return read


def test_the_example_names_only_what_the_schema_has() -> None:
    for name, resource in example()["resources"].items():
        if resource["type"].startswith(PACKAGE):
            described = schema()["resources"][resource["type"]]
            assert set(resource["properties"]) <= set(described["inputProperties"]), name
            assert set(described["requiredInputs"]) <= set(resource["properties"]), name


def test_the_example_deploys_what_it_says(tmp_path: Path) -> None:
    written = example()
    wanted = [
        (name, resource["type"], *_values(resource["properties"], written["variables"]))
        for name, resource in written["resources"].items()
        if resource["type"].startswith(PACKAGE)
    ]

    deployment = constructed(tmp_path, *wanted)

    key = deployment.named("aws:kms/key:Key", "ticket-key-key")
    logs = next(one for one in deployment.resources if one.type == "aws:cloudwatch/logGroup:LogGroup")
    assert logs.inputs["kmsKeyId"] == key.outputs["arn"]
    assert "log-group:/ticket-archive" in key.inputs["policy"]
    assert "${" not in json.dumps([one.inputs for one in deployment.resources])


def _values(properties: Mapping[str, Any], variables: Mapping[str, str]) -> tuple[Plain, dict[str, tuple[str, str]]]:
    """Pulumi YAML's own rules, as far as the example uses them: variables, toJSON, outputs of resources."""
    values, references = {}, {}
    for key, value in properties.items():
        reference = re.fullmatch(r"\$\{([\w-]+)\.(\w+)\}", value) if isinstance(value, str) else None
        if reference:
            references[key] = (reference[1], reference[2])
        else:
            values[key] = _filled(value, variables)
    return values, references


def _filled(value: Any, variables: Mapping[str, str]) -> Any:  # Any: YAML
    if isinstance(value, Mapping) and "fn::toJSON" in value:
        return json.dumps(_filled(value["fn::toJSON"], variables))
    if isinstance(value, Mapping):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    return re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], value) if isinstance(value, str) else value
