"""RDS: databases are encrypted under our key, private, known to IAM, logged, and outlive a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, Unclear, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

CLUSTER: Final = "aws:rds/cluster:Cluster"
CLUSTER_INSTANCE: Final = "aws:rds/clusterInstance:ClusterInstance"
INSTANCE: Final = "aws:rds/instance:Instance"
CLUSTER_PARAMETERS: Final = "aws:rds/clusterParameterGroup:ClusterParameterGroup"
INSTANCE_PARAMETERS: Final = "aws:rds/parameterGroup:ParameterGroup"
SNAPSHOT: Final = "aws:rds/snapshot:Snapshot"
SNAPSHOT_COPY: Final = "aws:rds/snapshotCopy:SnapshotCopy"
CLUSTER_SNAPSHOT: Final = "aws:rds/clusterSnapshot:ClusterSnapshot"
CLUSTER_SNAPSHOT_COPY: Final = "aws:rds/clusterSnapshotCopy:ClusterSnapshotCopy"


def _encrypted(database: Resource) -> Iterator[Outcome]:
    # A replica in the region of its source is encrypted as that is; from elsewhere the source comes by its ARN.
    is_local_replica = database.at("replicateSourceDb").matches(r"(?!arn:).+")
    if is_local_replica is Truth.YES:
        yield NotApplicable("a replica takes both from its source")
        return
    encrypted, key = database.at("storageEncrypted"), database.at("kmsKeyId")
    yield from demand(any_of(encrypted.equals(True), is_local_replica), "storage is not encrypted", encrypted)
    yield from demand(any_of(is_customer_key(key), is_local_replica), "no customer managed key", key)


_ENCRYPTED = {"storageEncrypted": True, "kmsKeyId": OWN_KEY}

CUSTOMER_KEY = Rule(
    name="rds-database-require-customer-key",
    description="A database is encrypted under a customer managed key.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-28(1)", "SC-12"),
        owasp_llm=("LLM02:2026", "LLM09:2026"),
        atlas=("AML.M0012",),
    ),
    remediation="Set storage_encrypted and kms_key_id.",
    checkov=("CKV_AWS_96", "CKV_AWS_327", "CKV_AWS_16"),
    resource_types=(CLUSTER, INSTANCE),
    check=_encrypted,
    obeys={
        "a cluster": Resource.example(CLUSTER, _ENCRYPTED),
        "an instance of its own": Resource.example(INSTANCE, _ENCRYPTED),
    },
    breaks={
        "not encrypted: AWS's default": Resource.example(CLUSTER, {"kmsKeyId": OWN_KEY}),
        "an instance that says nothing": Resource.example(INSTANCE, {"kmsKeyId": OWN_KEY}),
        "turned off": Resource.example(INSTANCE, {**_ENCRYPTED, "storageEncrypted": False}),
        "encrypted under AWS's key": Resource.example(CLUSTER, {"storageEncrypted": True}),
        "AWS's key by its name": Resource.example(CLUSTER, {**_ENCRYPTED, "kmsKeyId": "alias/aws/rds"}),
        "a replica of another region": Resource.example(
            INSTANCE, {"replicateSourceDb": "arn:aws:rds:eu-west-1:111122223333:db:orders"}
        ),
    },
    neighbours={
        "an instance of a cluster takes both from the cluster": Resource.example(CLUSTER_INSTANCE, {}),
        "a replica takes both from its source": Resource.example(INSTANCE, {"replicateSourceDb": "orders"}),
    },
)


def _private(database: Resource) -> Iterator[Outcome]:
    public = database.at("publiclyAccessible")
    yield from demand(public.equals(False), "the database has a public address", public)


NO_PUBLIC_ADDRESS = Rule(
    name="rds-database-disallow-public-address",
    description="A database has no address that the internet can reach.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4"),
        owasp_llm=("LLM02:2026", "LLM09:2026"),
        atlas=("AML.T0049",),
    ),
    remediation="Leave publicly_accessible out, or set it to False.",
    checkov=("CKV_AWS_17",),
    resource_types=(CLUSTER, CLUSTER_INSTANCE, INSTANCE),
    check=_private,
    obeys={
        "said so": Resource.example(INSTANCE, {"publiclyAccessible": False}),
        "an instance of a cluster, private by default": Resource.example(CLUSTER_INSTANCE, {}),
        "an instance of its own, private by default": Resource.example(INSTANCE, {}),
        "a cluster that leaves it to its instances": Resource.example(CLUSTER, {}),
    },
    breaks={
        "a public instance of a cluster": Resource.example(CLUSTER_INSTANCE, {"publiclyAccessible": True}),
        "a public instance": Resource.example(INSTANCE, {"publiclyAccessible": True}),
        "a public cluster of several zones": Resource.example(CLUSTER, {"publiclyAccessible": True}),
        "neither yes nor no": Resource.example(INSTANCE, {"publiclyAccessible": "perhaps"}),
    },
    neighbours={
        "a proxy has no such property": Resource.example("aws:rds/proxy:Proxy", {"requireTls": True}),
    },
)


def _by_iam(database: Resource) -> Iterator[Outcome]:
    knows_iam = negate(database.at("engine").matches(r"(custom-)?(oracle|sqlserver|db2)-.*"))
    if knows_iam is Truth.NO:
        yield NotApplicable("the engine knows no IAM authentication")
        return
    by_iam = database.at("iamDatabaseAuthenticationEnabled")
    yield from demand(any_of(negate(knows_iam), by_iam.equals(True)), "IAM database authentication is off", by_iam)


def _engine(engine: str, **props: object) -> Resource:
    return Resource.example(INSTANCE, {"engine": engine, **props})


IAM_AUTHENTICATION = Rule(
    name="rds-database-require-iam-authentication",
    description="Where the engine can, callers of a database authenticate by IAM, not by a password of its own.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.5", "A.5.17"),
        nist_800_53_r5=("IA-2", "IA-5"),
        owasp_llm=("LLM02:2026", "LLM09:2026"),
        atlas=("AML.M0019",),
    ),
    remediation="Set iam_database_authentication_enabled=True.",
    checkov=("CKV_AWS_162", "CKV_AWS_161"),
    resource_types=(CLUSTER, INSTANCE),
    check=_by_iam,
    obeys={
        "a cluster": Resource.example(CLUSTER, {"iamDatabaseAuthenticationEnabled": True}),
        "an instance": _engine("postgres", iamDatabaseAuthenticationEnabled=True),
    },
    breaks={
        "passwords only: AWS's default": Resource.example(CLUSTER, {"engine": "aurora-postgresql"}),
        "an instance with passwords": _engine("mysql", iamDatabaseAuthenticationEnabled=False),
    },
    neighbours={
        "Oracle cannot": _engine("oracle-ee"),
        "nor can SQL Server": _engine("sqlserver-web"),
        "nor can Db2": _engine("db2-se"),
        "nor can an Oracle of our own": _engine("custom-oracle-ee"),
    },
)


def _backed_up(database: Resource) -> Iterator[Outcome]:
    is_replica = database.at("replicateSourceDb").is_given()
    if is_replica is Truth.YES:
        yield NotApplicable("a replica can be made again from its source")
        return
    days, days_min = database.at("backupRetentionPeriod"), float(str(database.settings["backup_days_min"]))
    yield from demand(any_of(days.at_least(days_min), is_replica), "no backup, or it is kept too shortly", days)


BACKUPS = Rule(
    name="rds-database-require-backups",
    description="A database is backed up every day, and the backups are kept as long as the pack says.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("A1.2",), iso27001_2022=("A.8.13",), nist_800_53_r5=("CP-9", "CP-10"), owasp_llm=("LLM09:2026",)
    ),
    remediation="Set backup_retention_period to the days of the setting backup_days_min, or more.",
    settings={"backup_days_min": 1},
    checkov=("CKV_AWS_133",),
    resource_types=(CLUSTER, INSTANCE),
    check=_backed_up,
    obeys={
        "a month": Resource.example(CLUSTER, {"backupRetentionPeriod": 30.0}),
        "one day: AWS's default of a cluster": Resource.example(CLUSTER, {}),
        "an instance, one day": Resource.example(INSTANCE, {"backupRetentionPeriod": 1.0}),
    },
    breaks={
        "none: the provider's default of an instance": Resource.example(INSTANCE, {}),
        "turned off": Resource.example(INSTANCE, {"backupRetentionPeriod": 0.0}),
        "turned off for a cluster": Resource.example(CLUSTER, {"backupRetentionPeriod": 0.0}),
    },
    neighbours={
        "a replica of a database": Resource.example(INSTANCE, {"replicateSourceDb": "orders"}),
        "an instance of a cluster, which is backed up as a whole": Resource.example(CLUSTER_INSTANCE, {}),
    },
)


def _outlives_mistakes(database: Resource) -> Iterator[Outcome]:
    if _is_disposable(database) is Truth.YES:
        yield NotApplicable("its environment may be taken down")
        return
    protected = database.at("deletionProtection")
    truth = any_of(protected.equals(True), _is_disposable(database))
    yield from demand(truth, "one call deletes the database", protected)


def _is_disposable(database: Resource) -> Truth:
    """Tags of the resource, and those that its provider gives to all. Without a tag nothing is disposable."""
    tag = str(database.settings["environment_tag"])
    environments = [one.value for one in View(database.settings["disposable_environments"]).items()]
    return any_of(*(database.at(tags).at(tag).equals(*environments) for tags in ("tags", "tagsAll")))


DELETION_PROTECTION = Rule(
    name="rds-database-require-deletion-protection",
    description="A database cannot be deleted in one step, unless its tags name an environment that may be.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("A1.2", "CC6.1"),
        iso27001_2022=("A.8.13", "A.8.32"),
        nist_800_53_r5=("CP-9", "CM-3"),
        atlas=("AML.M0005",),
    ),
    remediation="Set deletion_protection=True, or tag what may be taken down as the settings of this rule say.",
    settings={"environment_tag": "env", "disposable_environments": ("local", "dev", "staging")},
    checkov=("CKV_AWS_139", "CKV_AWS_293"),
    resource_types=(CLUSTER, INSTANCE),
    check=_outlives_mistakes,
    obeys={
        "protected": Resource.example(CLUSTER, {"deletionProtection": True}),
        "protected, and tagged as production": Resource.example(
            INSTANCE, {"deletionProtection": True, "tags": {"env": "prod"}}
        ),
    },
    breaks={
        "left out, and AWS's default is off": Resource.example(CLUSTER, {}),
        "turned off": Resource.example(INSTANCE, {"deletionProtection": False}),
        "production without it": Resource.example(INSTANCE, {"tags": {"env": "prod"}, "tagsAll": {"env": "prod"}}),
        "another tag says dev": Resource.example(CLUSTER, {"tags": {"team": "dev"}}),
    },
    neighbours={
        "a database of an environment that comes and goes": Resource.example(
            CLUSTER, {"deletionProtection": False, "tags": {"env": "dev"}}
        ),
        "tagged by its provider": Resource.example(INSTANCE, {"tagsAll": {"env": "staging"}}),
        "on a laptop": Resource.example(INSTANCE, {"tags": {"env": "local"}}),
        "an instance of a cluster, which is protected as a whole": Resource.example(CLUSTER_INSTANCE, {}),
    },
)


def _patched(database: Resource) -> Iterator[Outcome]:
    minor = database.at("autoMinorVersionUpgrade")
    yield from demand(minor.equals(True), "minor versions with their security fixes are not taken", minor)


MINOR_UPGRADES = Rule(
    name="rds-instance-require-minor-upgrades",
    description="A database instance takes minor versions of its engine, and the fixes in them, by itself.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("CC7.1",), iso27001_2022=("A.8.8",), nist_800_53_r5=("SI-2", "RA-5")),
    remediation="Leave auto_minor_version_upgrade out, or set it to True.",
    checkov=("CKV_AWS_226",),
    resource_types=(CLUSTER_INSTANCE, INSTANCE),
    check=_patched,
    obeys={
        "said so": Resource.example(INSTANCE, {"autoMinorVersionUpgrade": True}),
        "left out: AWS's default is yes": Resource.example(CLUSTER_INSTANCE, {}),
        "an instance of its own that says nothing": Resource.example(INSTANCE, {}),
    },
    breaks={
        "turned off": Resource.example(INSTANCE, {"autoMinorVersionUpgrade": False}),
        "turned off in a cluster": Resource.example(CLUSTER_INSTANCE, {"autoMinorVersionUpgrade": False}),
    },
    neighbours={"a cluster upgrades through its instances": Resource.example(CLUSTER, {})},
)


def _copies_tags(database: Resource) -> Iterator[Outcome]:
    copied = database.at("copyTagsToSnapshot")
    yield from demand(copied.equals(True), "snapshots lose the tags that say whose and how secret they are", copied)


TAGGED_SNAPSHOTS = Rule(
    name="rds-database-require-tags-on-snapshots",
    description="Snapshots carry the tags of their database: owner, environment, class of data.",
    severity=Severity.LOW,
    controls=Controls(soc2=("C1.1",), iso27001_2022=("A.5.9", "A.5.13"), nist_800_53_r5=("CM-8", "AC-16")),
    remediation="Set copy_tags_to_snapshot=True.",
    checkov=("CKV_AWS_313", "CKV2_AWS_60"),
    resource_types=(CLUSTER, INSTANCE),
    check=_copies_tags,
    obeys={
        "a cluster": Resource.example(CLUSTER, {"copyTagsToSnapshot": True}),
        "an instance": Resource.example(INSTANCE, {"copyTagsToSnapshot": True}),
    },
    breaks={
        "left out, and AWS's default is no": Resource.example(CLUSTER, {}),
        "an instance that leaves it out": Resource.example(INSTANCE, {}),
        "turned off": Resource.example(INSTANCE, {"copyTagsToSnapshot": False}),
    },
    neighbours={"Aurora takes snapshots of the cluster, not of an instance": Resource.example(CLUSTER_INSTANCE, {})},
)


def _exports_logs(database: Resource) -> Iterator[Outcome]:
    logs = database.at("enabledCloudwatchLogsExports")
    yield from demand(logs.is_given(), "its logs stay on the instance, and go with it", logs)


LOG_EXPORTS = Rule(
    name="rds-database-require-log-exports",
    description="A database sends its logs to CloudWatch, where whoever administers it cannot edit them.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2",),
        iso27001_2022=("A.8.15",),
        nist_800_53_r5=("AU-2", "AU-9", "AU-12"),
        owasp_llm=("LLM09:2026",),
        atlas=("AML.M0024",),
    ),
    remediation='Name the logs in enabled_cloudwatch_logs_exports: for PostgreSQL ["postgresql"].',
    checkov=("CKV_AWS_324", "CKV_AWS_129"),
    resource_types=(CLUSTER, INSTANCE),
    check=_exports_logs,
    obeys={
        "a cluster": Resource.example(CLUSTER, {"enabledCloudwatchLogsExports": ["postgresql"]}),
        "an instance": Resource.example(INSTANCE, {"enabledCloudwatchLogsExports": ["postgresql", "upgrade"]}),
    },
    breaks={
        "none": Resource.example(CLUSTER, {}),
        "an empty list": Resource.example(INSTANCE, {"enabledCloudwatchLogsExports": []}),
        "null": Resource.example(INSTANCE, {"enabledCloudwatchLogsExports": None}),
    },
    neighbours={"an instance of a cluster, which exports for all": Resource.example(CLUSTER_INSTANCE, {})},
)


def _has_insights(instance: Resource) -> Iterator[Outcome]:
    has_none = instance.at("engine").matches(r"db2-.*")
    if has_none is Truth.YES:
        yield NotApplicable("Db2 has no Performance Insights")
        return
    insights = instance.at("performanceInsightsEnabled")
    truth = any_of(insights.equals(True), has_none)
    yield from demand(truth, "nobody sees which statements load the database", insights)


PERFORMANCE_INSIGHTS = Rule(
    name="rds-instance-require-performance-insights",
    description="A database instance records which statements and callers load it.",
    severity=Severity.LOW,
    controls=Controls(
        soc2=("A1.1", "CC7.2"), iso27001_2022=("A.8.6", "A.8.16"), nist_800_53_r5=("SI-4", "AU-12", "SC-5")
    ),
    remediation="Set performance_insights_enabled=True.",
    checkov=("CKV_AWS_353",),
    resource_types=(CLUSTER_INSTANCE, INSTANCE),
    check=_has_insights,
    obeys={
        "an instance of a cluster": Resource.example(CLUSTER_INSTANCE, {"performanceInsightsEnabled": True}),
        "an instance of its own": _engine("postgres", performanceInsightsEnabled=True),
    },
    breaks={
        "left out, and AWS's default is off": Resource.example(CLUSTER_INSTANCE, {}),
        "an instance of its own that says nothing": Resource.example(INSTANCE, {}),
        "turned off": _engine("postgres", performanceInsightsEnabled=False),
    },
    neighbours={"Db2 has none": _engine("db2-ae")},
)


def _insights_under_own_key(instance: Resource) -> Iterator[Outcome]:
    is_off = negate(instance.at("performanceInsightsEnabled").equals(True))
    if is_off is Truth.YES:
        yield NotApplicable("it keeps no insights")
        return
    key = instance.at("performanceInsightsKmsKeyId")
    truth = any_of(is_customer_key(key), is_off)
    yield from demand(truth, "statements of callers are kept under AWS's key", key)


_INSIGHTS = {"performanceInsightsEnabled": True, "performanceInsightsKmsKeyId": OWN_KEY}

INSIGHTS_CUSTOMER_KEY = Rule(
    name="rds-performance-insights-require-customer-key",
    description="What Performance Insights keeps of statements is encrypted under a customer managed key.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-28(1)", "SC-12"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Set performance_insights_kms_key_id.",
    checkov=("CKV_AWS_354",),
    resource_types=(CLUSTER, CLUSTER_INSTANCE, INSTANCE),
    check=_insights_under_own_key,
    obeys={
        "an instance of a cluster": Resource.example(CLUSTER_INSTANCE, _INSIGHTS),
        "an instance of its own": Resource.example(INSTANCE, _INSIGHTS),
        "a cluster that keeps them for its instances": Resource.example(CLUSTER, _INSIGHTS),
    },
    breaks={
        "no key": Resource.example(CLUSTER_INSTANCE, {"performanceInsightsEnabled": True}),
        "a cluster without one": Resource.example(CLUSTER, {"performanceInsightsEnabled": True}),
        "AWS's key": Resource.example(INSTANCE, {**_INSIGHTS, "performanceInsightsKmsKeyId": "alias/aws/rds"}),
    },
    neighbours={
        "off": Resource.example(INSTANCE, {"performanceInsightsEnabled": False}),
        "left out": Resource.example(CLUSTER, {}),
    },
)

_GROUP_OF: Final = {
    CLUSTER: (CLUSTER_PARAMETERS, "dbClusterParameterGroupName"),
    INSTANCE: (INSTANCE_PARAMETERS, "parameterGroupName"),
}


def _statements_logged(stack: Stack) -> Iterator[Outcome]:
    databases = [one for one in stack.of_type(*_GROUP_OF) if _is_postgresql(one) is not Truth.NO]
    yield from () if databases else (NotApplicable("the stack has no PostgreSQL"),)
    for database in databases:
        yield from _logs_statements(stack, database)


def _is_postgresql(database: Resource) -> Truth:
    return database.at("engine").equals("aurora-postgresql", "postgres")


def _logs_statements(stack: Stack, database: Resource) -> Iterator[Outcome]:
    group_type, by = _GROUP_OF[database.type]
    groups = [one for one in stack.of_type(group_type) if database in stack.related(one, (database.type,), by).certain]
    truth = _logged_statements(groups[0]) if groups else _may_log(database.at(by))
    truth = any_of(truth, negate(_is_postgresql(database)))
    yield from demand(truth, "no parameter group logs who changes the schema", database.at(by), database.urn)


def _may_log(group: View) -> Truth:
    """A group of another program cannot be read here; AWS's own logs nothing."""
    is_awss = any_of(negate(group.is_given()), group.matches(r"default\..*"))
    return Truth.NO if is_awss is Truth.YES else Truth.UNKNOWN


def _logged_statements(group: Resource) -> Truth:
    return group.at("parameters").any(
        lambda one: all_of(one.at("name").equals("log_statement"), one.at("value").equals("ddl", "mod", "all"))
    )


def _parameters(value: str, parameter: str = "log_statement") -> Resource:
    listed = [{"name": "rds.force_ssl", "value": "1"}, {"name": parameter, "value": value}]
    return Resource.example(CLUSTER_PARAMETERS, {"parameters": listed}, "logged")


def _postgresql(**props: object) -> Resource:
    return Resource.example(
        CLUSTER, {"engine": "aurora-postgresql", **props}, "vectors", dbClusterParameterGroupName="logged"
    )


_LONELY = Resource.example(CLUSTER, {"engine": "aurora-postgresql"}, "vectors")

STATEMENT_LOG = StackRule(
    name="rds-postgresql-require-statement-log",
    description="PostgreSQL logs at least the statements that change its schema or its grants.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2",),
        iso27001_2022=("A.8.15",),
        nist_800_53_r5=("AU-2", "AU-12", "CM-5"),
        owasp_llm=("LLM09:2026",),
        atlas=("AML.M0024",),
    ),
    remediation="Set log_statement to ddl in the parameter group. Not all: statements may carry prompts.",
    checkov=("CKV2_AWS_27", "CKV2_AWS_30"),
    check=_statements_logged,
    obeys={
        "joined by dependency": (_postgresql(), _parameters("ddl")),
        "every change": (_postgresql(), _parameters("mod")),
        "every statement": (_postgresql(), _parameters("all")),
        "an instance of its own, joined by name": (
            _engine("postgres", parameterGroupName="logged"),
            Resource.example(
                INSTANCE_PARAMETERS, {"name": "logged", "parameters": [{"name": "log_statement", "value": "ddl"}]}
            ),
        ),
    },
    breaks={
        "no group": (_LONELY, _parameters("ddl")),
        "AWS's own group": (
            Resource.example(
                CLUSTER, {"engine": "aurora-postgresql", "dbClusterParameterGroupName": "default.aurora-postgresql17"}
            ),
        ),
        "nothing": (_postgresql(), _parameters("none")),
        "another parameter": (_postgresql(), _parameters("all", "log_connections")),
        "an instance without a group": (_engine("postgres"),),
        "a group without parameters": (_postgresql(), Resource.example(CLUSTER_PARAMETERS, {}, "logged")),
        "a logged database beside one that is not": (_postgresql(), _parameters("ddl"), _engine("postgres")),
    },
    neighbours={
        "MySQL has other parameters": (Resource.example(CLUSTER, {"engine": "aurora-mysql"}),),
        "no database at all": (_parameters("none"),),
    },
)

# The parameter by which a family of engines refuses plain connections, and the versions that do so by default.
_TLS_PARAMETER: Final = {
    r"(aurora-)?postgres(ql)?\d+|sqlserver-.*": "rds.force_ssl",
    r"(aurora-)?mysql\d.*|mariadb\d.*": "require_secure_transport",
}
_TLS_BY_DEFAULT: Final = r"postgres(1[5-9]|[2-9]\d)|aurora-postgresql(1[7-9]|[2-9]\d)"


def _refuses_plain(group: Resource) -> Iterator[Outcome]:
    family, listed = group.at("family"), group.at("parameters")
    if family.is_unknown:
        yield Unclear(family.path)
        return
    names = [name for families, name in _TLS_PARAMETER.items() if family.matches(families) is Truth.YES]
    if not names:
        yield NotApplicable("TLS of this engine is no parameter")
        return
    stated = [one for one in listed.items() if one.at("name").equals(*names) is not Truth.NO]
    by_default = all_of(family.matches(_TLS_BY_DEFAULT), Truth.of(not stated))
    truth = any_of(by_default, *(_is_on(one, names) for one in stated))
    yield from demand(truth, "connections without TLS are accepted", listed)


def _is_on(parameter: View, names: list[str]) -> Truth:
    return all_of(parameter.at("name").equals(*names), parameter.at("value").matches(r"(?i)1|on|true"))


def _group(family: str, name: str = "", value: str = "", type_: str = INSTANCE_PARAMETERS) -> Resource:
    listed = [{"name": "log_connections", "value": "1"}, *([{"name": name, "value": value}] if name else [])]
    return Resource.example(type_, {"family": family, "parameters": listed})


TLS_ONLY = Rule(
    name="rds-parameter-group-require-tls",
    description="A database that follows parameters of ours accepts no connection without TLS.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.7",),
        iso27001_2022=("A.8.20", "A.8.24"),
        nist_800_53_r5=("SC-8", "SC-8(1)"),
        owasp_llm=("LLM02:2026", "LLM09:2026"),
    ),
    remediation="Set rds.force_ssl to 1; for MySQL and MariaDB require_secure_transport to ON.",
    checkov=("CKV2_AWS_69",),
    resource_types=(CLUSTER_PARAMETERS, INSTANCE_PARAMETERS),
    check=_refuses_plain,
    obeys={
        "Aurora PostgreSQL": _group("aurora-postgresql16", "rds.force_ssl", "1", CLUSTER_PARAMETERS),
        "MySQL": _group("mysql8.4", "require_secure_transport", "ON"),
        "MariaDB, in other letters": _group("mariadb11.4", "require_secure_transport", "on"),
        "SQL Server": _group("sqlserver-ee-16.0", "rds.force_ssl", "true"),
        "PostgreSQL since 15: AWS's default": _group("postgres15"),
        "Aurora PostgreSQL since 17": _group("aurora-postgresql17", type_=CLUSTER_PARAMETERS),
    },
    breaks={
        "PostgreSQL before 15: AWS's default": _group("postgres14"),
        "Aurora PostgreSQL before 17": _group("aurora-postgresql16", type_=CLUSTER_PARAMETERS),
        "turned off": _group("postgres17", "rds.force_ssl", "0"),
        "Aurora MySQL that says nothing": _group("aurora-mysql8.0", type_=CLUSTER_PARAMETERS),
        "MySQL turned off": _group("mysql8.4", "require_secure_transport", "OFF"),
        "the parameter of another engine": _group("mysql8.4", "rds.force_ssl", "1"),
    },
    neighbours={
        "Oracle takes TLS as an option": _group("oracle-ee-19"),
        "Db2 by a registry of its own": _group("db2-ae-11.5"),
    },
)


def _not_shared_with_all(snapshot: Resource) -> Iterator[Outcome]:
    accounts = snapshot.at("sharedAccounts")
    yield from forbid(accounts.any(lambda one: one.equals("all")), "every AWS account can restore it", accounts)


def _snapshot(*accounts: object, type_: str = SNAPSHOT) -> Resource:
    return Resource.example(type_, {"sharedAccounts": accounts})


NO_PUBLIC_SNAPSHOT = Rule(
    name="rds-snapshot-disallow-public",
    description="A snapshot of a database is not given to every AWS account.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.3", "A.8.12"),
        nist_800_53_r5=("AC-3", "AC-4"),
        owasp_llm=("LLM02:2026", "LLM09:2026"),
        atlas=("AML.T0036",),
    ),
    remediation='Name accounts in shared_accounts, never "all".',
    checkov=("CKV_AWS_302",),
    resource_types=(SNAPSHOT, SNAPSHOT_COPY, CLUSTER_SNAPSHOT, CLUSTER_SNAPSHOT_COPY),
    check=_not_shared_with_all,
    obeys={"an account of ours": _snapshot("111122223333"), "nobody else": _snapshot()},
    breaks={
        "everybody": _snapshot("all"),
        "everybody beside an account": _snapshot("111122223333", "all"),
        "a copy": _snapshot("all", type_=SNAPSHOT_COPY),
        "a cluster's": _snapshot("all", type_=CLUSTER_SNAPSHOT),
        "a copy of a cluster's": _snapshot("all", type_=CLUSTER_SNAPSHOT_COPY),
    },
    neighbours={"left out: AWS's default is nobody": Resource.example(SNAPSHOT, {"dbInstanceIdentifier": "orders"})},
)
