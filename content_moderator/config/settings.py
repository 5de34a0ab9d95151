"""The settings: frozen values, each declared once with type, range and default."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from marshmallow import ValidationError

from content_moderator.config import fields
from content_moderator.config.fields import rules
from content_moderator.domain.action import Action
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.policy import DEFAULT_POLICY, OtherLanguages, Policy, Rule
from content_moderator.text.terms import Terms, term_lines


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """``classifier.config``: the server of the remote classifier, with limits and time-outs."""

    url: str | None = fields.text("https://router.huggingface.co/hf-inference/models/KoalaAI/Text-Moderation")
    model: str = fields.text("KoalaAI/Text-Moderation")
    revision: str = fields.text("838ade0edb66dcffc5532d08ff6ed5c899abfb5c")
    protocol: str = fields.text("hf")
    connect_timeout_seconds: float = fields.number(3.0, low=0.05, high=60)
    call_timeout_seconds: float = fields.number(6.0, low=0.05, high=300)
    max_reply_bytes: int = fields.integer(1_048_576, low=1024, high=67_108_864)
    max_tokens: int = fields.integer(510, low=32, high=100_000)
    require_https: bool = fields.flag(False)
    ca_file: str | None = fields.text(None)


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """``classifier.retries``: how often failed calls are repeated."""

    max_attempts: int = fields.integer(3, low=1, high=10)
    first_delay_seconds: float = fields.number(0.1, low=0.0, high=60)
    max_delay_seconds: float = fields.number(2.0, low=0.0, high=60)
    budget_ratio: float = fields.number(0.2, low=0.0, high=1)
    budget_floor: int = fields.integer(3, low=0, high=1000)


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """``classifier.breaker``: when calls to a failing classifier are stopped."""

    window_seconds: float = fields.number(10.0, low=1, high=3600)
    min_calls: int = fields.integer(20, low=1, high=100_000)
    failure_rate: float = fields.number(0.5, low=0.01, high=1)
    slow_call_seconds: float = fields.number(5.0, low=0.01, high=300)
    slow_rate: float = fields.number(0.8, low=0.01, high=1)
    open_seconds: float = fields.number(5.0, low=0.1, high=3600)


@dataclass(frozen=True, slots=True)
class BatchingSettings:
    """``classifier.batching``: how waiting texts share calls."""

    max_in_flight: int = fields.integer(16, low=1, high=256)
    max_batch: int = fields.integer(32, low=1, high=1024)
    max_batch_tokens: int = fields.integer(2048, low=1, high=10_000_000)
    max_waiting: int = fields.integer(192, low=1, high=100_000)


@dataclass(frozen=True, slots=True)
class ClassifierSettings:
    """``classifier``: the classifier and its deadline."""

    name: str = fields.text("embedded")
    model_path: str | None = fields.text(None)
    deadline_seconds: float = fields.number(8.0, low=0.1, high=300)
    on_unavailable: Literal["error", "embedded"] = fields.text("error", "error", "embedded")
    undo_disguises: bool = fields.flag(True)
    second_opinion: bool = fields.flag(True)
    config: UpstreamSettings = field(default_factory=UpstreamSettings)
    retries: RetrySettings = field(default_factory=RetrySettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    batching: BatchingSettings = field(default_factory=BatchingSettings)


@dataclass(frozen=True, slots=True)
class ExactCacheSettings:
    """``cache.exact``: the cache in each worker."""

    enabled: bool = fields.flag(True)
    ttl_seconds: float = fields.number(3600.0, low=1, high=31_536_000)
    max_entries: int = fields.integer(100_000, low=1, high=100_000_000)
    max_bytes: int = fields.integer(67_108_864, low=65_536, high=1_099_511_627_776)


@dataclass(frozen=True, slots=True)
class SimilarCacheSettings:
    """``cache.similar``: when the answer about a near copy may be used."""

    mode: Literal["off", "fallback", "on"] = fields.text("fallback", "off", "fallback", "on")
    max_edits: int = fields.integer(8, low=1, high=16)
    max_ratio: float = fields.number(0.15, low=0.01, high=0.5)
    min_chars: int = fields.integer(16, low=8, high=10_000)
    max_chars: int = fields.integer(2000, low=8, high=20_000)
    max_candidates: int = fields.integer(150, low=1, high=100_000)
    guard_delta: float = fields.number(0.25, low=0.0, high=1)
    guard_digits: bool = fields.flag(False)
    sample_rate: float = fields.number(0.02, low=0.0, high=1)


@dataclass(frozen=True, slots=True)
class SharedCacheSettings:
    """``cache.shared``: a Valkey or Redis server that workers and machines share."""

    url: str | None = fields.text(None)
    timeout_seconds: float = fields.number(0.05, low=0.001, high=10)
    pause_seconds: float = fields.number(1.0, low=0.01, high=3600)
    max_connections: int = fields.integer(16, low=1, high=1024)
    lease_seconds: float = fields.number(2.0, low=0.0, high=60)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """``cache``: the answer cache."""

    exact: ExactCacheSettings = field(default_factory=ExactCacheSettings)
    similar: SimilarCacheSettings = field(default_factory=SimilarCacheSettings)
    shared: SharedCacheSettings = field(default_factory=SharedCacheSettings)


@dataclass(frozen=True, slots=True)
class TermSettings:
    """``policy.terms``: listed terms, which decide by themselves."""

    block: Sequence[str] = fields.terms()
    review: Sequence[str] = fields.terms()
    allow: Sequence[str] = fields.terms()
    block_file: str | None = fields.text(None)
    review_file: str | None = fields.text(None)
    allow_file: str | None = fields.text(None)

    def listed(self) -> dict[Action, list[str]]:
        """
        Return the terms of the settings and of the files that they name.

        Raises:
            ConfigurationError: A file cannot be read or has invalid lines; the message names all of them.
        """
        return {
            action: [
                *getattr(self, action, ()),
                *term_lines(getattr(self, f"{action}_file", None), f"policy.terms.{action}_file"),
            ]
            for action in reversed(Action)
        }


OTHER_LANGUAGES_BY_CLASSIFIER: Final[Mapping[str, OtherLanguages]] = {"embedded": "review", "koala": "allow"}
"""The default for texts in languages that a classifier does not judge; "review" for other classifiers."""

DEFAULT_THRESHOLDS: Final[Mapping[str, Mapping[str, Rule]]] = {
    "embedded": rules(
        S=(0.51, 0.95), H=(0.51, None), V=(0.55, None), HR=(0.47, None), SH=(0.4, None),
        S3=(0.25, None), H2=(0.42, None), V2=(0.18, None), ANY=(0.73, None),
    ),
    "koala": rules(
        S=(0.3, 0.7), H=(0.3, 0.7), V=(0.3, 0.8), HR=(0.3, 0.8), SH=(0.2, 0.8),
        S3=(0.1, 0.5), H2=(0.1, 0.5), V2=(0.2, 0.7), ANY=(0.6, None),
    ),
}  # fmt: skip
"""The default thresholds by classifier name; the section ``policy`` can replace them."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """
    ``policy``: thresholds by classifier, listed terms, and the treatment of other languages.

    Keys of the section that are not declared here are names of classifiers, with their thresholds.
    """

    thresholds: Mapping[str, Mapping[str, Rule]] = fields.thresholds()
    other_languages: OtherLanguages | None = fields.text(  # noqa: RUF009  (a field, as all of them)
        None, "review", "judge", "allow", "refuse"
    )
    terms: TermSettings = field(default_factory=TermSettings)

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", {**DEFAULT_THRESHOLDS, **self.thresholds})

    def as_dict(self) -> dict[str, Any]:
        """Return the section in the layout of the YAML file."""
        values = dataclasses.asdict(self)
        return {**values.pop("thresholds"), **values}

    def require_classifiers(self, known: Collection[str]) -> None:
        """
        Check the names of the classifiers that have thresholds.

        Raises:
            ValidationError: A key of the section is neither a setting nor one of the *known* classifiers.
        """
        unknown = self.thresholds.keys() - known
        options = ", ".join(sorted(known))
        sentence = f"Unknown field. It is neither a setting nor a classifier (there are: {options})."
        if unknown:
            raise ValidationError({name: [sentence] for name in sorted(unknown)})

    def build(self, name: str = DEFAULT_POLICY) -> Policy:
        """
        Build the policy.

        Raises:
            ConfigurationError: A term is invalid.
        """
        try:
            terms = Terms(self.terms.listed())
        except ValueError as error:
            raise ConfigurationError(f"policy.terms: {error}") from error
        other_languages = {
            each: self.other_languages or OTHER_LANGUAGES_BY_CLASSIFIER.get(each, "review")
            for each in self.thresholds
        }
        return Policy(self.thresholds, terms, name=name, other_languages=other_languages)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """``http``: limits for requests, and the behaviour of the HTTP interface."""

    max_body_bytes: int = fields.integer(1_048_576, low=1024, high=67_108_864)
    max_text_chars: int = fields.integer(20_480, low=1, high=1_000_000)
    long_texts: Literal["divide", "refuse"] = fields.text("divide", "divide", "refuse")
    max_batch_texts: int = fields.integer(100, low=1, high=10_000)
    compress: bool = fields.flag(True)
    cors_origins: Sequence[str] = fields.origins()
    trusted_proxies: int = fields.integer(0, low=0, high=10)
    fast_path: bool = fields.flag(True)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """``auth.jwt``: the requirements for tokens of an identity provider."""

    issuer: str | None = fields.text(None)
    audience: str | None = fields.text(None)
    algorithms: Sequence[str] = fields.choices("RS256", "ES256", "EdDSA")
    public_key_file: str | None = fields.text(None)
    jwks_url: str | None = fields.text(None)
    jwks_max_age_seconds: float = fields.number(3600.0, low=10, high=86_400)
    jwks_pause_seconds: float = fields.number(30.0, low=1, high=3600)
    timeout_seconds: float = fields.number(3.0, low=0.05, high=60)
    leeway_seconds: float = fields.number(30.0, low=0, high=300)
    tenant_claim: str = fields.text("sub")
    scope_prefix: str | None = fields.text(None)


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """``auth``: authentication."""

    mode: Literal["none", "api_key", "jwt", "any"] = fields.text("none", "none", "api_key", "jwt", "any")
    keys_file: str | None = fields.text(None)
    required: bool = fields.flag(False)
    jwt: TokenSettings = field(default_factory=TokenSettings)


@dataclass(frozen=True, slots=True)
class TenantsSettings:
    """``tenants``: the file of tenants."""

    file: str | None = fields.text(None)


@dataclass(frozen=True, slots=True)
class LimitsSettings:
    """``limits``: rate limits."""

    rate: str | None = fields.text(None)
    by: Literal["tenant", "key", "address"] = fields.text("tenant", "tenant", "key", "address")
    url: str | None = fields.text(None)
    timeout_seconds: float = fields.number(0.05, low=0.001, high=10)
    pause_seconds: float = fields.number(1.0, low=0.01, high=3600)
    max_connections: int = fields.integer(16, low=1, high=1024)


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """``audit``: the audit log."""

    file: str | None = fields.text(None)


@dataclass(frozen=True, slots=True)
class ReadinessSettings:
    """``readiness``: how /readyz checks a remote classifier."""

    probe_interval_seconds: float = fields.number(5.0, low=0.1, high=3600)
    probe_wait_seconds: float = fields.number(1.0, low=0.0, high=30)
    probe_at_start: bool = fields.flag(True)


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """``logging``: the log on standard output."""

    level: Literal["debug", "info", "warning", "error"] = fields.text(
        "info", "debug", "info", "warning", "error"
    )
    format: Literal["json", "console"] = fields.text("json", "json", "console")
    requests: bool = fields.flag(True)


class Secret:
    """A secret that does not show its value unless `reveal` is called."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; `config.loader` loads them from files and the environment."""

    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    tenants: TenantsSettings = field(default_factory=TenantsSettings)
    limits: LimitsSettings = field(default_factory=LimitsSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    readiness: ReadinessSettings = field(default_factory=ReadinessSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    # Warnings from loading, such as keys with an old name.
    warnings: Sequence[str] = field(default=(), metadata={"read": False})
    bearer_token: Secret | None = field(default=None, metadata={"secret": True})
    cache_password: Secret | None = field(default=None, metadata={"secret": True})
    limits_password: Secret | None = field(default=None, metadata={"secret": True})
    audit_secret: Secret | None = field(default=None, metadata={"secret": True, "min_chars": 16})
    # Texts are encrypted with it: a shorter secret could be guessed.
    cache_secret: Secret | None = field(default=None, metadata={"secret": True, "min_chars": 16})


SECRETS: Final = {
    each.name: int(each.metadata.get("min_chars", 1))
    for each in dataclasses.fields(Settings)
    if each.metadata.get("secret")
}
"""The secrets, with their minimum lengths in characters. The variables have these names in capitals."""
