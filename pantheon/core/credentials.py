"""Which names in an environment lead off the machine: proxies, and keys to somebody's cloud.

Invariants:
- names alone are judged, never values, and nothing here returns a value;
- a pattern too many costs a word in a refusal; one too few costs a key. So unknown vendors are caught by their suffix.
"""

import re
from collections.abc import Iterable

PROXY = re.compile(r"[a-z0-9_]*_proxy", re.ASCII | re.IGNORECASE)
"""``http_proxy`` and its kin in any case, ``no_proxy`` included: it is of no use without another."""

CREDENTIALS = (
    r".*_API_?KEYS?",
    r".*_(?:ACCESS|API|AUTH|BEARER|BOT|HUB|ID|OAUTH|REFRESH|SESSION)_TOKEN",
    r".*_(?:ACCESS|ACCOUNT|SECRET|SECRET_ACCESS|SUBSCRIPTION)_KEY",
    r".*_CLIENT_SECRET",
    r"AWS_(?:ACCESS_KEY_ID|BEARER_TOKEN_.*|CONTAINER_(?:AUTHORIZATION|CREDENTIALS)_.*|PROFILE|SECURITY_TOKEN)",
    r"AWS_(?:SHARED_CREDENTIALS_FILE|WEB_IDENTITY_TOKEN_FILE)",
    r"AZURE_(?:.*_PASSWORD|.*_TOKEN.*|AD_TOKEN|CLIENT_CERTIFICATE.*|STORAGE_CONNECTION_STRING)",
    r"(?:CLOUDFLARE|CLOUDSDK|DIGITALOCEAN|FLY|HEROKU|LINODE|NGC|OCI|VAULT|VERCEL|WANDB)_.*(?:KEY|TOKEN|CREDENTIAL).*",
    r"(?:GITHUB|GITLAB|GH|GL|HF|HUGGINGFACE|HUGGING_FACE_HUB|REPLICATE|COHERE|CO)_(?:PAT|TOKEN|API_TOKEN)",
    r"(?:ACTIONS_ID_TOKEN_REQUEST_TOKEN|ACTIONS_RUNTIME_TOKEN|CI_JOB_TOKEN)",
    r"GOOGLE_(?:APPLICATION_CREDENTIALS|CREDENTIALS|OAUTH_ACCESS_TOKEN)",
    r"(?:NPM|PYPI|TWINE|DOCKER|UV_PUBLISH)_(?:AUTH|PASSWORD|TOKEN)",
    r"(?:DATABRICKS|SNOWFLAKE|SLACK|TELEGRAM|DISCORD|OPENROUTER|WATSONX)_(?:.*_)?(?:KEY|PASSWORD|TOKEN)",
)
"""Names of variables that hold keys to somebody's cloud, or say where they are; whole names, in any case."""

_CREDENTIAL = re.compile("|".join(f"(?:{pattern})" for pattern in CREDENTIALS), re.ASCII | re.IGNORECASE)


def find_proxies(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of variables that programs take a proxy from, sorted."""
    return tuple(sorted(name for name in names if PROXY.fullmatch(name)))


def find_credentials(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of variables that lead to somebody's cloud, sorted."""
    return tuple(sorted(name for name in names if _CREDENTIAL.fullmatch(name)))
