"""One name for one kind of resource: a rule written for it judges its twins too.

AWS types that were renamed are still registered under the old name, and Kubernetes serves one kind under several
versions and in lists. Who takes the other name must not get round a rule.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_RENAMED_MODULES: Final = {
    "alb": "lb",
    "applicationloadbalancing": "lb",
    "elasticloadbalancing": "elb",
    "elasticloadbalancingv2": "lb",
}
_DEPRECATED_V2: Final = (
    "Bucket",
    "BucketAccelerateConfiguration",
    "BucketAcl",
    "BucketCorsConfiguration",
    "BucketLifecycleConfiguration",
    "BucketLogging",
    "BucketObjectLockConfiguration",
    "BucketRequestPaymentConfiguration",
    "BucketServerSideEncryptionConfiguration",
    "BucketVersioning",
    "BucketWebsiteConfiguration",
)


def _token(module: str, name: str) -> str:
    return f"aws:{module}/{name[0].lower()}{name[1:]}:{name}"


# What pulumi_aws names as an alias or as deprecated in favour of another; a test compares it with the package.
RENAMED: Final = {
    **{_token("s3", f"{name}V2"): _token("s3", name) for name in _DEPRECATED_V2},
    _token("s3", "BucketObjectv2"): _token("s3", "BucketObject"),
    "aws:s3/BucketObject:BucketObject": _token("s3", "BucketObject"),
    _token("chime", "VoiceConnectorOrganization"): _token("chime", "VoiceConnectorOrigination"),
    _token("directoryservice", "ConditionalForwader"): _token("directoryservice", "ConditionalForwarder"),
    _token("directoryservice", "LogService"): _token("directoryservice", "LogSubscription"),
    _token("ec2", "EncryptionControl"): _token("ec2", "VpcEncryptionControl"),
    _token("ec2", "TransitGatewayPeeringAttachmentAccepter"): _token("ec2transitgateway", "PeeringAttachmentAccepter"),
    _token("lambda", "MicrovmsImage"): _token("lambdamicrovms", "Image"),
    _token("ses", "ConfgurationSet"): _token("ses", "ConfigurationSet"),
    _token("workspaces", "WebBrowserSettings"): _token("workspacesweb", "BrowserSettings"),
    _token("workspaces", "WebNetworkSettings"): _token("workspacesweb", "NetworkSettings"),
    _token("workspaces", "WebUserSettings"): _token("workspacesweb", "UserSettings"),
}

_LEFT_EXTENSIONS: Final = {
    "DaemonSet": "apps",
    "Deployment": "apps",
    "Ingress": "networking.k8s.io",
    "NetworkPolicy": "networking.k8s.io",
    "PodSecurityPolicy": "policy",
    "ReplicaSet": "apps",
}
_OWN_GROUPS: Final = ("apps", "autoscaling", "batch", "extensions", "policy")  # the others end in .k8s.io
_STABLE: Final = {"autoscaling": "v2"}


@cache  # asked by every rule of every resource; there are as many answers as types
def canonical_type(token: str) -> str:
    """The name that rules use: the current one of AWS, the stable version of Kubernetes."""
    if token.startswith("aws:"):
        _, module, *name = re.split("[:/]", token, maxsplit=2)
        renamed = _RENAMED_MODULES.get(module)
        return f"aws:{renamed}/{name[0]}" if renamed and name else RENAMED.get(token, token)
    return _stable_version(token) if token.startswith("kubernetes:") else token


def _stable_version(token: str) -> str:
    parts = re.fullmatch(r"kubernetes:([^:/]+)/(v\d+(?:alpha|beta)\d+):([^:/]+)", token)
    if parts is None:
        return token
    group, _, kind = parts.groups()
    if group not in _OWN_GROUPS and not group.endswith(".k8s.io"):
        return token  # a custom resource: its versions are its owner's
    if group == "extensions":
        group = _LEFT_EXTENSIONS.get(re.sub("(List|Patch)$", "", kind), group)
    return f"kubernetes:{group}/{_STABLE.get(group, 'v1')}:{kind}"


@cache
def listed_type(token: str) -> str:
    """The type of what a Kubernetes list holds; nothing for what is no list."""
    kind = token.rpartition(":")[2]
    is_list = token.startswith("kubernetes:") and kind.endswith("List") and kind != "List"
    return canonical_type(token).removesuffix("List") if is_list else ""
