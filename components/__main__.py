"""The package as a plugin: Pulumi starts this folder and asks it for its schema and to construct components."""

from __future__ import annotations

from pulumi.provider.experimental.host import component_provider_host

from components.component import PACKAGE
from components.package import VERSION, hosted

if __name__ == "__main__":
    component_provider_host(hosted(), PACKAGE, version=VERSION)
