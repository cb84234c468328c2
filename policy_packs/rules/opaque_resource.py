"""Resources that hide what they make: no rule sees inside, so no stack walks around the others through them."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, demand
from policy_packs.tristate import Truth
from policy_packs.view import View

RELEASE: Final = "kubernetes:helm.sh/v3:Release"
CLOUD_CONTROL: Final = "aws:cloudcontrol/resource:Resource"
# Each as a pattern over the whole type.
_OPAQUE: Final = (
    "aws:cloudformation/stack:*",
    "aws:cloudformation/stackSet*",
    "aws:cloudformation/stackInstances:*",
    "aws:servicecatalog/provisionedProduct:*",
    "aws:serverlessrepository/cloudFormationStack:*",
    "aws:sagemaker/project:*",
    "aws-native:*",
    "command:*",
    "kubernetes:*Patch",
    "pulumi-nodejs:dynamic*",
    "pulumi-python:dynamic*",
    "terraform-module:*",
)
# What may be exempted: the setting that lists what is allowed, and the property that is compared with it.
_EXEMPTIONS: Final = {
    RELEASE: ("allowed_charts", "chart"),
    CLOUD_CONTROL: ("allowed_cloud_control_types", "typeName"),
}


def _transparent(stack: Stack) -> Iterator[Outcome]:
    exempted = stack.of_type(*_EXEMPTIONS)
    opaque = [one for one in stack.resources if _is_opaque(one.type)]
    if not exempted and not opaque:
        yield NotApplicable("the stack hides nothing from the rules")
        return
    for one in exempted:
        subject = one.at(_EXEMPTIONS[one.type][1])
        yield from demand(_is_exempted(one, subject), "makes resources that no rule sees", subject, one.urn)
    for one in opaque:
        yield from demand(Truth.NO, "makes resources, or changes them, where no rule sees it", View(None), one.urn)


def _is_opaque(resource_type: str) -> bool:
    return any(fnmatchcase(resource_type, pattern) for pattern in _OPAQUE)


def _is_exempted(resource: Resource, subject: View) -> Truth:
    if subject.is_unknown:
        return Truth.UNKNOWN
    patterns = resource.settings.get(_EXEMPTIONS[resource.type][0])
    listed = patterns if isinstance(patterns, list | tuple) else ()
    return Truth.of(any(fnmatchcase(subject.text, str(one)) for one in listed))


def _hidden(kind: str, **props: object) -> tuple[Resource, ...]:
    return (Resource.example(kind, props),)


_CHART = "oci://111122223333.dkr.ecr.eu-central-1.amazonaws.com/charts/keda"
_CONFIG_MAP = Resource.example("kubernetes:core/v1:ConfigMap", {})

NOTHING_HIDDEN = StackRule(
    name="stack-disallow-opaque-resources",
    description="Nothing is made where no rule sees it: no nested stack, command, patch or chart but allowed ones.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC8.1",),
        iso27001_2022=("A.8.9", "A.8.32"),
        nist_800_53_r5=("CM-3", "CM-7"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.T0010",),
    ),
    remediation="Write the resources themselves; for a chart, render it or add it to allowed_charts after review.",
    settings={
        "allowed_charts": ["oci://*.dkr.ecr.*.amazonaws.com/*/keda"],
        "allowed_cloud_control_types": ["AWS::Bedrock::EnforcedGuardrailConfiguration"],
    },
    check=_transparent,
    obeys={
        "a chart that is allowed": _hidden(RELEASE, chart=_CHART),
        "a Cloud Control type that is allowed": _hidden(
            CLOUD_CONTROL, typeName="AWS::Bedrock::EnforcedGuardrailConfiguration"
        ),
    },
    breaks={
        "a stack of CloudFormation": _hidden("aws:cloudformation/stack:Stack"),
        "a set of stacks": _hidden("aws:cloudformation/stackSet:StackSet"),
        "an instance of a set of stacks": _hidden("aws:cloudformation/stackSetInstance:StackSetInstance"),
        "instances of stacks": _hidden("aws:cloudformation/stackInstances:StackInstances"),
        "a product of a catalogue": _hidden("aws:servicecatalog/provisionedProduct:ProvisionedProduct"),
        "an application of the serverless repository": _hidden(
            "aws:serverlessrepository/cloudFormationStack:CloudFormationStack"
        ),
        "a project of SageMaker, made from a catalogue": _hidden("aws:sagemaker/project:Project"),
        "another Cloud Control type": _hidden(CLOUD_CONTROL, typeName="AWS::S3::Bucket"),
        "a Cloud Control type that is not named": _hidden(CLOUD_CONTROL),
        "another provider of AWS": _hidden("aws-native:s3:Bucket"),
        "a chart that is not allowed": _hidden(RELEASE, chart="oci://ghcr.io/somebody/keda"),
        "a chart that only ends alike": _hidden(RELEASE, chart=f"{_CHART}-extra"),
        "a patch": _hidden("kubernetes:apps/v1:DeploymentPatch"),
        "a command": _hidden("command:local:Command"),
        "a command elsewhere": _hidden("command:remote:Command"),
        "a dynamic resource": _hidden("pulumi-python:dynamic:Resource"),
        "a dynamic resource of a module": _hidden("pulumi-python:dynamic/models:Weights"),
        "a dynamic resource in another language": _hidden("pulumi-nodejs:dynamic:Resource"),
        "a Terraform module": _hidden("terraform-module:index:Module"),
    },
    neighbours={
        "a rendered chart shows its children": (
            Resource.example("kubernetes:helm.sh/v4:Chart", {"chart": "oci://ghcr.io/somebody/keda"}),
            _CONFIG_MAP,
        ),
        "manifests show their children": (Resource.example("kubernetes:yaml/v2:ConfigFile", {}), _CONFIG_MAP),
        "the type of a CloudFormation registry": _hidden("aws:cloudformation/cloudFormationType:CloudFormationType"),
        "patches of a fleet are no patch of ours": _hidden("aws:ssm/patchBaseline:PatchBaseline"),
    },
)
