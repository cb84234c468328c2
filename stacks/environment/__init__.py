"""Environment: everything that differs between local, dev, staging and prod, one file a section."""

from stacks.environment.environment import Environment
from stacks.environment.fields import ModelId, Region, RoleName
from stacks.environment.gateway import Gateway, Issuer
from stacks.environment.models import BedrockModel, Model, OpenAIModel, SageMakerModel
from stacks.environment.name import EnvironmentName
from stacks.environment.network import ExistingNetwork, Network
from stacks.environment.organization import Organization
from stacks.environment.retention import LockMode, Retention
from stacks.environment.self_hosting import GpuNodeGroup, NodeGroup, SelfHosting
from stacks.environment.stores import Cache, Database

__all__ = [
    "BedrockModel",
    "Cache",
    "Database",
    "Environment",
    "EnvironmentName",
    "ExistingNetwork",
    "Gateway",
    "GpuNodeGroup",
    "Issuer",
    "LockMode",
    "Model",
    "ModelId",
    "Network",
    "NodeGroup",
    "OpenAIModel",
    "Organization",
    "Region",
    "Retention",
    "RoleName",
    "SageMakerModel",
    "SelfHosting",
]
