"""Names of variables that lead off the machine are known, and innocent ones are left alone."""

import pytest

from pantheon.core.credentials import find_credentials, find_proxies


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_BEARER_TOKEN_BEDROCK", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_SHARED_CREDENTIALS_FILE",
        "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "AZURE_CLIENT_SECRET", "AZURE_OPENAI_API_KEY",
        "AZURE_FEDERATED_TOKEN_FILE", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_API_KEY", "GEMINI_API_KEY", "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN", "CO_API_KEY", "NPM_TOKEN",
        "MISTRAL_API_KEY", "GROQ_API_KEY", "REPLICATE_API_TOKEN", "OPENROUTER_API_KEY", "SLACK_BOT_TOKEN",
        "VAULT_TOKEN", "WANDB_API_KEY", "openai_api_key", "SOMEBODY_NEW_API_KEY", "DIGITALOCEAN_ACCESS_TOKEN",
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "PYPI_TOKEN", "ACTIONS_RUNTIME_TOKEN", "STRIPE_SECRET_KEY",
    ],
)  # fmt: skip
def test_keys_to_clouds_are_found(name: str) -> None:
    """Each usual name, and names nobody has heard of with a usual end, count as credentials."""
    assert find_credentials(["PATH", name]) == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "HOME", "AWS_CA_BUNDLE", "AWS_REGION", "PANTHEON_MODELS_DIR", "KEYBOARD", "TOKENIZERS_PARALLELISM",
        "GITHUB_ACTIONS", "GITHUB_REPOSITORY", "SSH_AUTH_SOCK", "MONKEY", "XDG_SESSION_ID", "OPENAI_BASE", "LS_COLORS",
    ],
)  # fmt: skip
def test_innocent_names_are_left_alone(name: str) -> None:
    """What holds no key does not keep a night from starting."""
    assert find_credentials([name]) == ()


@pytest.mark.parametrize(
    "name", ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "no_proxy",
             "NO_PROXY", "ftp_proxy", "socks_proxy", "Http_Proxy", "GLOBAL_AGENT_HTTP_PROXY", "_proxy"],
)  # fmt: skip
def test_proxies_are_found_in_any_case(name: str) -> None:
    """Every name that ends in ``_proxy`` counts."""
    assert find_proxies(["PATH", "PROXY", "proxyless", name]) == (name,)
