"""Every setting of the gateway: what it is for, what it may be, and a value that would do.

The one list: settings are read by these names only, and `gateway check` explains them from here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable. `default` says what holds without it; None: it must be set."""

    name: str
    what: str
    allowed: str
    example: str
    default: str | None = None
    secret: bool = False
    judged_by: str = ""  # another setting, without which nothing can be said of this one


_KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"
_HOST_PORT = "host:port"
_EMBEDDING = (
    '[{"id":"embedding","kind":"embedding","backend":"bedrock","upstream_model":"amazon.titan-embed-text-v2:0",'
    '"boundary":"private_endpoint","context_tokens_max":8192,"usd_per_million_input_tokens":"0.02",'
    '"usd_per_million_output_tokens":"0"}]'
)
# Read by libraries as well; what the gateway itself makes of them is checked as everything else.
AWS_ENDPOINTS = "AWS_ENDPOINT_URL"
KEY_LOG = "SSLKEYLOGFILE"

SETTINGS = (
    Setting("GATEWAY_ENVIRONMENT", "Which environment this is.", "local, dev, staging or prod", "prod"),
    Setting("AWS_REGION", "The region of every AWS service used.", "a region's name", "eu-west-1"),
    Setting(
        "GATEWAY_LISTEN",
        "Where callers are answered: TLS 1.3, and plain HTTP on loopback only.",
        _HOST_PORT,
        "0.0.0.0:8443",
    ),
    Setting(
        "GATEWAY_OPERATIONS_LISTEN",
        "Where operators are answered: readiness, figures, the operator page.",
        "host:port with a loopback address or one of a private network",
        "127.0.0.1:9453",
        default="127.0.0.1 and 1010 above GATEWAY_LISTEN's port",
    ),
    Setting(
        "GATEWAY_TELEMETRY_ENDPOINT",
        "OTLP collector for spans and figures; they hold no content.",
        "https base URL, or http to loopback",
        "https://collector.example.internal:4318",
        default="nothing is sent",
    ),
    Setting(
        "GATEWAY_OIDC_ISSUERS",
        "Whose tokens are accepted, for which audience, signed how.",
        "JSON list of issuer, audience, algorithms (asymmetric only); claims, subjects, outage_s_max where they differ",
        '[{"issuer":"https://identity.example","audience":"llm-gateway","algorithms":["RS256"]}]',
    ),
    Setting("GATEWAY_DATABASE", "PostgreSQL: records, ledger, passages.", _HOST_PORT, "database.internal:5432"),
    Setting("GATEWAY_DATABASE_NAME", "The database in it.", "a name", "llm"),
    Setting("GATEWAY_DATABASE_USER", "Who logs in to it, by IAM token.", "a role's name", "gateway"),
    Setting(
        "GATEWAY_DATABASE_PASSWORD",
        "In place of an IAM token; only the migration task has one.",
        "a password",
        "",
        default="an IAM token, made for each connection",
        secret=True,
    ),
    Setting("GATEWAY_VALKEY", "Valkey: rates, tokens a minute, concurrency.", _HOST_PORT, "cache.internal:6379"),
    Setting("GATEWAY_VALKEY_USER", "Who logs in to it, by IAM token.", "a user's name", "gateway"),
    Setting(
        "GATEWAY_REGISTRATION_BUCKET", "Where workloads' signed registrations lie.", "a bucket's name", "registrations"
    ),
    Setting("GATEWAY_REGISTRATION_KEY_ARN", "The key that vouches for registrations.", "ARN of a KMS key", _KEY),
    Setting("GATEWAY_AUDIT_BUCKET", "The log archive: signed heads of the audit chain.", "a bucket's name", "evidence"),
    Setting("GATEWAY_AUDIT_SIGNING_KEY_ARN", "The key that signs those heads.", "ARN of a KMS key", _KEY),
    Setting("GATEWAY_AUDIT_MAC_KEY_ARN", "The key that prompt hashes are derived from.", "ARN of a KMS key", _KEY),
    Setting(
        "GATEWAY_MODELS",
        "The catalogue: every model that may be called, where, and its price.",
        "JSON list of models; one without a price is refused; fallbacks, where named, must be as strict and as large",
        _EMBEDDING,
    ),
    Setting(
        "GATEWAY_EMBEDDING_MODEL",
        "What questions and passages are embedded with.",
        "a model's id",
        "embedding",
        judged_by="GATEWAY_MODELS",
    ),
    Setting("GATEWAY_EMBEDDING_DIMENSIONS", "How long its vectors are.", "8 to 4096", "1024"),
    Setting(
        "GATEWAY_MODEL_AUTHORITY",
        "Who vouches for our own model servers, and for nobody else.",
        "certificates in PEM",
        "-----BEGIN CERTIFICATE-----",
        default="needed where self-hosted models are called over TLS only",
    ),
    Setting(
        AWS_ENDPOINTS,
        "Another AWS API, for tests; the same for one service with _<SERVICE> behind it.",
        "https base URL, or http to loopback",
        "https://127.0.0.1:8804",
        default="AWS's own",
    ),
    Setting(
        "AWS_CA_BUNDLE",
        "More authorities for AWS and upstreams.",
        "a file's path",
        "",
        default="the system's authorities",
    ),
    Setting(
        "PGSSLROOTCERT", "More authorities for PostgreSQL.", "a file's path", "", default="the system's authorities"
    ),
    Setting(
        KEY_LOG,
        "Would write the keys of every TLS connection to a file.",
        "must not be set",
        "",
        default="no key is written anywhere",
    ),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}
