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
        "OPENAI_KEY", "TOGETHERAI_KEY", "PINECONE_APIKEY", "CIRCLE_TOKEN", "CARGO_REGISTRY_TOKEN", "SENTRY_AUTH_TOKEN",
        "LINODE_TOKEN", "DATABRICKS_TOKEN", "AUTH0_CLIENT_SECRET", "JWT_SECRET", "API_KEY", "ACCESS_TOKEN",
        "SECRET_KEY", "TOKEN", "AZURE_STORAGE_KEY", "AZURE_STORAGE_CONNECTION_STRING", "GITHUB_PAT",
        "AZURE_DEVOPS_EXT_PAT", "DOCKER_PASSWORD", "DOCKER_AUTH_CONFIG", "MYSQL_PWD", "PGPASSWORD", "KUBECONFIG",
        "GITHUB_APP_PRIVATE_KEY",
        "B2_APPLICATION_KEY", "B2_APPLICATION_KEY_ID", "CF_API_KEY", "R2_ACCESS_KEY_ID", "SCW_SECRET_KEY",
        "OVH_APPLICATION_KEY",
        "OPENAI_API_KEYS", "GCP_SERVICE_ACCOUNT_JSON", "GOOGLE_CREDENTIALS", "FIREBASE_TOKEN", "SLACK_WEBHOOK_URL",
        "OPENAI_API_KEY_FILE", "HF_TOKEN_PATH", "AWS_CONFIG_FILE", "SNOWFLAKE_PASSWORD", "SNOWFLAKE_PRIVATE_KEY_PATH",
        "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "TWILIO_AUTH_TOKEN", "SENDGRID_API_KEY", "LANGCHAIN_API_KEY", "NETRC",
        "NGC_CLI_API_KEY", "KAGGLE_KEY", "COMET_API_KEY", "DEEPSEEK_API_KEY", "XAI_API_KEY", "JPY_API_TOKEN",
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
        "GPG_KEY", "EOS_TOKEN", "PAD_TOKEN", "MAX_TOKENS", "OUTPUT_TOKENS", "SSH_PUBLIC_KEY", "CACHE_KEY", "SORT_KEY",
        "VSCODE_GIT_IPC_AUTH_TOKEN", "COMPAT", "TURKEY", "SECRETARY", "CREDENTIALS_DIRECTORY",
        "DBUS_SESSION_BUS_ADDRESS",
        "GNOME_KEYRING_CONTROL", "INVOCATION_ID", "LESSKEY", "GIT_AUTHOR_NAME", "SSH_CLIENT", "PATH_KEYS", "SPAT",
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
