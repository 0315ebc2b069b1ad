"""Which names in an environment lead off the machine: proxies, and keys to somebody's cloud.

Invariants:
- names alone are judged, never values, and nothing here returns a value;
- a pattern too many costs a word in a refusal; one too few costs a key. So vendors nobody has heard of are caught by
  how such names end, in any case: a key, a token, a secret, a password, credentials, or a file that holds one.

Accepted trade-off: names that end so and are known to hold no secret are ``INNOCENT``; whoever has another one that
holds none unsets it for the night, or has the policy strip it.
"""

import re
from collections.abc import Iterable

PROXY = re.compile(r"[a-z0-9_]*_proxy", re.ASCII | re.IGNORECASE)
"""``http_proxy`` and its kin in any case, ``no_proxy`` included: it is of no use without another."""

CREDENTIALS = (
    r"(?:.*_)?(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|PAT|CREDENTIALS?)",
    r"(?:.*_)?(?:API_?|ACCESS_?|SECRET_?|AUTH_?|PRIVATE_?)(?:KEY|TOKEN)S?",
    r".*APIKEY",
    r"(?:.*_)?(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)_(?:FILE|PATH|JSON|BASE64|B64)",
    r"(?:.*_)?(?:KEY|TOKEN)_(?:ID|SECRET)",
    r"(?:.*_)?(?:CONNECTION_STRING|SAS_URL|WEBHOOK_URL|AUTH_CONFIG|AUTH_HEADER|SERVICE_ACCOUNT(?:_JSON)?)",
    r"AWS_(?:BEARER_TOKEN_.*|CONFIG_FILE|CONTAINER_(?:AUTHORIZATION|CREDENTIALS)_.*|PROFILE)",
    r"AZURE_(?:.*_TOKEN.*|CLIENT_CERTIFICATE.*|CONFIG_DIR)",
    r"(?:CLOUDFLARE|CLOUDSDK|DIGITALOCEAN|FLY|HEROKU|LINODE|NGC|OCI|VAULT|VERCEL|WANDB)_.*(?:KEY|TOKEN|CREDENTIAL).*",
    r"(?:CLOUDSDK_CONFIG|DOCKER_CONFIG|KUBECONFIG|NETRC|BOTO_CONFIG)",
    r"PG(?:PASSWORD|PASSFILE)|MYSQL_PWD|REDISCLI_AUTH|SSHPASS",
)
"""Names of variables that hold keys to somebody's cloud, or say where they are; whole names, in any case."""

INNOCENT = (
    r"GPG_KEY",  # the fingerprint that images of interpreters carry
    r"(?:.*_)?(?:PUBLIC|CACHE|FOREIGN|GROUP|HOST|INDEX|PARTITION|PRIMARY|SORT|REGISTRY|COMPOSE)_KEY",
    r"(?:.*_)?(?:BOS|CLS|CSRF|EOS|MASK|PAD|SEP|STOP|UNK)_TOKEN",  # words of a vocabulary, and a page's own
    r"VSCODE_.*",  # between an editor and its own terminal, over a socket of this machine
)
"""Names that end like a credential and hold none."""

_CREDENTIAL = re.compile("|".join(f"(?:{pattern})" for pattern in CREDENTIALS), re.ASCII | re.IGNORECASE)
_INNOCENT = re.compile("|".join(f"(?:{pattern})" for pattern in INNOCENT), re.ASCII | re.IGNORECASE)


def find_proxies(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of variables that programs take a proxy from, sorted."""
    return tuple(sorted(name for name in names if PROXY.fullmatch(name)))


def find_credentials(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of variables that lead to somebody's cloud, sorted."""
    return tuple(
        sorted(name for name in names if _CREDENTIAL.fullmatch(name) and not _INNOCENT.fullmatch(name))
    )
