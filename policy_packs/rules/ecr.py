"""ECR: an image keeps the name it was pushed under, is scanned, encrypted under our key, and ours to hand out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.policy_document import Document
from policy_packs.resource import Resource, Stack
from policy_packs.resource_policy import public_statements
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

REPOSITORY: Final = "aws:ecr/repository:Repository"
# ECR makes repositories after it when an image is pulled through or replicated.
TEMPLATE: Final = "aws:ecr/repositoryCreationTemplate:RepositoryCreationTemplate"
REPOSITORY_POLICY: Final = "aws:ecr/repositoryPolicy:RepositoryPolicy"
REGISTRY_POLICY: Final = "aws:ecr/registryPolicy:RegistryPolicy"
REGISTRY_SCANS: Final = "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration"
LIFECYCLE: Final = "aws:ecr/lifecyclePolicy:LifecyclePolicy"


def _tags_stay(repository: Resource) -> Iterator[Outcome]:
    mutability = repository.at("imageTagMutability")
    yield from demand(mutability.equals("IMMUTABLE"), "a tag can be moved to another image", mutability)


IMMUTABLE_TAGS = Rule(
    name="ecr-repository-require-immutable-tags",
    description="No tag of a repository can be moved to another image.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.8", "CC8.1"),
        iso27001_2022=("A.5.21", "A.8.9"),
        nist_800_53_r5=("CM-14", "SI-7", "SR-11"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.M0014",),
    ),
    remediation='Set image_tag_mutability="IMMUTABLE", without exclusions.',
    checkov=("CKV_AWS_51",),
    resource_types=(REPOSITORY, TEMPLATE),
    check=_tags_stay,
    obeys={
        "immutable": Resource.example(REPOSITORY, {"imageTagMutability": "IMMUTABLE"}),
        "a template": Resource.example(TEMPLATE, {"imageTagMutability": "IMMUTABLE"}),
    },
    breaks={
        "left out, and AWS's default is mutable": Resource.example(REPOSITORY, {}),
        "mutable": Resource.example(REPOSITORY, {"imageTagMutability": "MUTABLE"}),
        "some tags excepted": Resource.example(REPOSITORY, {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}),
        "a template": Resource.example(TEMPLATE, {}),
    },
    neighbours={"how long images stay": Resource.example(LIFECYCLE, {"repository": "models"})},
)


def _scans_on_push(stack: Stack) -> Iterator[Outcome]:
    repositories = stack.of_type(REPOSITORY)
    yield from () if repositories else (NotApplicable("the stack has no repository"),)
    registry = any_of(*(one.at("rules").any(_scans_every_image) for one in stack.of_type(REGISTRY_SCANS)))
    for repository in repositories:
        itself = repository.at("imageScanningConfiguration.scanOnPush").equals(True)
        subject = View(None, f"repository '{repository.name}'")
        yield from demand(
            any_of(itself, registry), "images are not scanned when they are pushed", subject, repository.urn
        )


def _scans_every_image(rule: View) -> Truth:
    on_push = rule.at("scanFrequency").equals("SCAN_ON_PUSH", "CONTINUOUS_SCAN")
    return all_of(on_push, rule.at("repositoryFilters").any(lambda one: one.at("filter").equals("*")))


def _repository(**props: object) -> Resource:
    return Resource.example(REPOSITORY, props, "models")


def _registry(frequency: str, *filters: str) -> Resource:
    return Resource.example(
        REGISTRY_SCANS,
        {
            "scanType": "ENHANCED",
            "rules": [{"scanFrequency": frequency, "repositoryFilters": [{"filter": one} for one in filters]}],
        },
    )


SCAN_ON_PUSH = StackRule(
    name="ecr-repository-require-scan-on-push",
    description="Every image is scanned for vulnerabilities when it is pushed.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.1",), iso27001_2022=("A.8.8",), nist_800_53_r5=("RA-5", "SI-2"), owasp_llm=("LLM04:2026",)
    ),
    remediation='Set image_scanning_configuration={"scan_on_push": True}, or scan every repository of the registry.',
    checkov=("CKV_AWS_163",),
    check=_scans_on_push,
    obeys={
        "scanned": (_repository(imageScanningConfiguration={"scanOnPush": True}),),
        "scanned by the registry": (_repository(), _registry("SCAN_ON_PUSH", "models/*", "*")),
        "scanned by the last of the registry's rules": (
            _repository(),
            Resource.example(
                REGISTRY_SCANS,
                {
                    "rules": [
                        {"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{"filter": "gateway"}]},
                        {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "*"}]},
                    ]
                },
            ),
        ),
        "scanned again and again": (_repository(), _registry("CONTINUOUS_SCAN", "*")),
    },
    breaks={
        "left out, and AWS's default is off": (_repository(),),
        "turned off": (_repository(imageScanningConfiguration={"scanOnPush": False}),),
        "one of two": (_repository(imageScanningConfiguration={"scanOnPush": True}), _repository()),
        "the registry scans when somebody asks": (_repository(), _registry("MANUAL", "*")),
        "the registry scans others": (_repository(), _registry("SCAN_ON_PUSH", "gateway")),
        "the registry scans nothing": (_repository(), _registry("SCAN_ON_PUSH")),
    },
    neighbours={
        "a template: what it makes is scanned by the registry": (Resource.example(TEMPLATE, {}),),
        "a repository for the public": (Resource.example("aws:ecrpublic/repository:Repository"),),
    },
)


def _images_under_own_key(repository: Resource) -> Iterator[Outcome]:
    configurations = repository.at("encryptionConfigurations")
    truth = all_of(configurations.is_given(), configurations.every(_encrypts_with_own_key))
    yield from demand(truth, "images are not under a key of ours", configurations)


def _encrypts_with_own_key(configuration: View) -> Truth:
    kind = configuration.at("encryptionType")
    return all_of(kind.equals("KMS", "KMS_DSSE"), is_customer_key(configuration.at("kmsKey")))


def _encrypted(type_: str = REPOSITORY, **configuration: object) -> Resource:
    return Resource.example(type_, {"encryptionConfigurations": [configuration]})


CUSTOMER_KEY = Rule(
    name="ecr-repository-require-customer-key",
    description="Every repository keeps its images under a customer managed key.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-12", "SC-28", "SC-28(1)"), atlas=("AML.M0012",)
    ),
    remediation='Set encryption_configurations=[{"encryption_type": "KMS", "kms_key": ...}].',
    checkov=("CKV_AWS_136",),
    resource_types=(REPOSITORY, TEMPLATE),
    check=_images_under_own_key,
    obeys={
        "a key of ours": _encrypted(encryptionType="KMS", kmsKey=OWN_KEY),
        "two layers of encryption": _encrypted(encryptionType="KMS_DSSE", kmsKey=OWN_KEY),
        "a template": _encrypted(TEMPLATE, encryptionType="KMS", kmsKey=OWN_KEY),
    },
    neighbours={"how long images stay": Resource.example(LIFECYCLE, {"repository": "models"})},
    breaks={
        "left out, and AWS's default is a key of S3": Resource.example(REPOSITORY, {}),
        "no configuration in the list": Resource.example(REPOSITORY, {"encryptionConfigurations": []}),
        "a key of S3": _encrypted(encryptionType="AES256"),
        "KMS without a key, and AWS's default is its own": _encrypted(encryptionType="KMS"),
        "the key that AWS manages": _encrypted(encryptionType="KMS", kmsKey="alias/aws/ecr"),
        "a key without its type, and AWS's default is a key of S3": _encrypted(kmsKey=OWN_KEY),
        "one of two": Resource.example(
            REPOSITORY,
            {"encryptionConfigurations": [{"encryptionType": "KMS", "kmsKey": OWN_KEY}, {"encryptionType": "AES256"}]},
        ),
        "a template": Resource.example(TEMPLATE, {}),
    },
)


def _repository_not_public(resource: Resource) -> Iterator[Outcome]:
    """A repository is private until a policy opens it, and holds none itself."""
    yield from public_statements(Document.read(resource.at(_POLICY_OF[resource.type])))


_POLICY_OF: Final = {
    REPOSITORY: "policy",
    REPOSITORY_POLICY: "policy",
    REGISTRY_POLICY: "policy",
    TEMPLATE: "repositoryPolicy",
}
_ALLOW: Final = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
    "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
}


def _repository_policy(type_: str = REPOSITORY_POLICY, **changes: object) -> Resource:
    document = json.dumps({"Version": "2012-10-17", "Statement": [{**_ALLOW, **changes}]})
    return Resource.example(type_, {_POLICY_OF[type_]: document})


NOT_PUBLIC = Rule(
    name="ecr-repository-disallow-public",
    description="No repository lets everybody pull, push or change it.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.5.15", "A.8.3"),
        nist_800_53_r5=("AC-3", "AC-6"),
        owasp_llm=("LLM04:2026",),
    ),
    remediation="Name roles or accounts as principal, or narrow it with aws:PrincipalOrgID.",
    checkov=("CKV_AWS_32",),
    resource_types=(REPOSITORY_POLICY, REGISTRY_POLICY, TEMPLATE, REPOSITORY),
    check=_repository_not_public,
    obeys={
        "a repository is private by itself": Resource.example(REPOSITORY, {}),
        "an account": _repository_policy(),
        "everybody of one organization": _repository_policy(
            Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-example123"}}
        ),
        "a registry that lets one account replicate into it": _repository_policy(
            REGISTRY_POLICY, Action="ecr:ReplicateImage"
        ),
    },
    neighbours={
        "a template without a policy": Resource.example(TEMPLATE, {}),
        "everybody is only denied": _repository_policy(Effect="Deny", Principal="*"),
    },
    breaks={
        "everybody": _repository_policy(Principal="*"),
        "everybody, as an object": _repository_policy(Principal={"AWS": "*"}),
        "everybody but one": _repository_policy(Principal=None, NotPrincipal={"AWS": "111122223333"}),
        "any organization": _repository_policy(Principal="*", Condition={"StringLike": {"aws:PrincipalOrgID": "*"}}),
        "a template": _repository_policy(TEMPLATE, Principal="*"),
        "the registry": _repository_policy(REGISTRY_POLICY, Principal="*", Action="ecr:ReplicateImage"),
    },
)
