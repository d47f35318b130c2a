"""Secrets, drawn at random in the forms that vendors document and that people use.

A form is written in a small language: `{a36}` is 36 letters and digits, `{w20}` also `_` and `-`, `{h}` lower and `{H}` upper
hexadecimal, `{u}` upper-case letters and digits, `{l}` lower-case ones, `{d}` digits, `{b}` base64, `{A}` letters alone.
"""

import base64
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.corpora.digits import draw

LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = LOWER.upper()
DIGITS = "0123456789"
ALPHABETS = {
    "a": LOWER + UPPER + DIGITS,
    "w": LOWER + UPPER + DIGITS + "_-",
    "h": DIGITS + "abcdef",
    "H": DIGITS + "ABCDEF",
    "u": UPPER + DIGITS,
    "l": LOWER + DIGITS,
    "d": DIGITS,
    "b": LOWER + UPPER + DIGITS + "+/",
    "A": LOWER + UPPER,
    "x": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
}
_HOLE = re.compile(r"\{([a-zA-Z])(\d+)\}")


@dataclass(frozen=True)
class Secret:
    """`names`: the variables that such a key is kept in. `bare`: whether its form alone tells it. `big`: a big vendor's."""

    id: str
    draw: Callable[[Random], str]
    names: tuple[str, ...]
    entity: str = "API_KEY"
    bare: bool = True
    big: bool = False


def fill(form: str) -> Callable[[Random], str]:
    def drawn(rng: Random) -> str:
        return _HOLE.sub(lambda hole: _mixed(rng, int(hole[2]), ALPHABETS[hole[1]]), form)

    return drawn


def _mixed(rng: Random, count: int, alphabet: str) -> str:
    """Drawn again while it ends in a mark, which no tokeniser of a sentence could tell from the sentence's own."""
    while (text := draw(rng, count, alphabet))[-1] in "-_" or text[0] in "-_":
        pass
    return text


def _one_of(*forms: str) -> Callable[[Random], str]:
    return lambda rng: fill(rng.choice(forms))(rng)


def _checked(prefix: str) -> Callable[[Random], str]:
    """GitHub's and npm's tokens: 30 letters and digits and their CRC-32 in six of base 62."""

    def drawn(rng: Random) -> str:
        body = draw(rng, 30, ALPHABETS["a"])
        number, check = zlib.crc32(body.encode()), ""
        for _ in range(6):
            number, rest = divmod(number, 62)
            check = (DIGITS + UPPER + LOWER)[rest] + check
        return prefix + body + check

    return drawn


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwt(rng: Random) -> str:
    head = {"alg": rng.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"}
    if rng.random() < 0.4:
        head["kid"] = draw(rng, 16, ALPHABETS["h"])
    claims = {"sub": draw(rng, 10), "name": "A B", "iat": rng.randrange(1_700_000_000, 1_800_000_000)}
    return ".".join(
        (
            _b64(json.dumps(head).encode()),
            _b64(json.dumps(claims).encode()),
            _b64(rng.randbytes(rng.choice([32, 64, 256]))),
        )
    )


def private_key(rng: Random) -> str:
    kind = rng.choice(
        [
            "RSA PRIVATE KEY",
            "EC PRIVATE KEY",
            "PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        ]
    )
    body = base64.b64encode(rng.randbytes(rng.choice([96, 300, 600]))).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    head = ["Version: GnuPG v2", ""] if kind.startswith("PGP") else []
    return "\n".join([f"-----BEGIN {kind}-----", *head, *lines, f"-----END {kind}-----"])


def _key(id: str, form: str | tuple[str, ...], *names: str, big: bool = False, bare: bool = True) -> Secret:
    forms = (form,) if isinstance(form, str) else form
    return Secret(id, _one_of(*forms), names, bare=bare, big=big)


# Told by their form. Sources: each vendor's documentation of its tokens (the prefixes are documented so that they can be searched for).
VENDORS: tuple[Secret, ...] = (
    _key("anthropic", ("sk-ant-api03-{w93}AA", "sk-ant-admin01-{w93}AA", "sk-ant-oat01-{w86}"), "ANTHROPIC_API_KEY", big=True),
    _key("openai", ("sk-{a20}T3BlbkFJ{a20}", "sk-proj-{w74}T3BlbkFJ{w74}", "sk-svcacct-{w58}T3BlbkFJ{w58}", "sk-admin-{w58}T3BlbkFJ{w58}"), "OPENAI_API_KEY", big=True),
    _key("aws", ("AKIA{x16}", "ASIA{x16}"), "AWS_ACCESS_KEY_ID", big=True),
    Secret("github", lambda rng: _checked(rng.choice(["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]))(rng), ("GITHUB_TOKEN", "GH_TOKEN"), big=True),
    _key("github-fine", "github_pat_{a22}_{a59}", "GITHUB_PAT", big=True),
    _key("gitlab", ("glpat-{w20}", "gldt-{w20}", "glptt-{h40}", "glrt-{w20}", "glsoat-{w20}"), "GITLAB_TOKEN", "CI_JOB_TOKEN", big=True),
    _key("google", "AIza{w35}", "GOOGLE_API_KEY", "MAPS_KEY", big=True),
    _key("google-oauth", ("GOCSPX-{w28}", "ya29.{w120}"), "GOOGLE_CLIENT_SECRET", big=True),
    _key("slack", ("xoxb-{d12}-{d12}-{a24}", "xoxp-{d12}-{d12}-{d12}-{h32}", "xapp-1-A{u10}-{d13}-{h64}", "xoxe.xoxp-1-{a160}"), "SLACK_BOT_TOKEN", big=True),
    _key("slack-webhook", "https://hooks.slack.com/services/T{u8}/B{u10}/{a24}", "SLACK_WEBHOOK_URL", big=True),
    _key("stripe", ("sk_live_{a24}", "sk_test_{a99}", "rk_live_{a24}", "whsec_{a32}"), "STRIPE_SECRET_KEY", big=True),
    _key("azure", "{a3}8Q~{a31}", "AZURE_CLIENT_SECRET", big=True),
    Secret("npm", _checked("npm_"), ("NPM_TOKEN",), big=True),
    _key("pypi", "pypi-AgEIcHlwaS5vcmc{w130}", "TWINE_PASSWORD", big=True),
    _key("sendgrid", "SG.{w22}.{w43}", "SENDGRID_API_KEY", big=True),
    _key("twilio", "SK{h32}", "TWILIO_API_KEY", big=True),
    _key("hugging-face", "hf_{A34}", "HF_TOKEN", "HUGGINGFACE_TOKEN", big=True),
    _key("digitalocean", ("dop_v1_{h64}", "doo_v1_{h64}", "dor_v1_{h64}"), "DIGITALOCEAN_TOKEN", big=True),
    _key("cloudflare-origin", "v1.0-{h24}-{h146}", "CF_ORIGIN_CA_KEY"),
    _key("shopify", ("shpat_{h32}", "shpss_{h32}", "shpca_{h32}", "shppa_{h32}"), "SHOPIFY_ACCESS_TOKEN", big=True),
    _key("databricks", ("dapi{h32}", "dapi{h32}-2"), "DATABRICKS_TOKEN"),
    _key("linear", "lin_api_{a40}", "LINEAR_API_KEY"),
    _key("notion", ("secret_{a43}", "ntn_{d11}{a35}"), "NOTION_TOKEN"),
    _key("postman", "PMAK-{h24}-{h34}", "POSTMAN_API_KEY"),
    _key("new-relic", ("NRAK-{u27}", "NRJS-{h19}", "NRII-{w32}"), "NEW_RELIC_API_KEY"),
    _key("grafana", ("glc_{b80}", "glsa_{a32}_{h8}"), "GRAFANA_TOKEN"),
    _key("sentry", ("sntrys_eyJ{b120}_{b43}", "sntryu_{h64}"), "SENTRY_AUTH_TOKEN"),
    _key("vault", ("hvs.{w90}", "hvb.{w138}"), "VAULT_TOKEN"),
    _key("terraform-cloud", "{a14}.atlasv1.{w67}", "TFE_TOKEN"),
    _key("doppler", ("dp.pt.{a43}", "dp.st.dev.{a43}"), "DOPPLER_TOKEN"),
    _key("age", "AGE-SECRET-KEY-1{u58}", "SOPS_AGE_KEY"),
    _key("atlassian", ("ATATT3xFfGF0{w180}=8A{H6}", "ATCTT3xFfGN0{w180}=3B{H6}"), "JIRA_API_TOKEN"),
    _key("bitbucket", "ATBB{a32}", "BITBUCKET_APP_PASSWORD"),
    _key("groq", "gsk_{a52}", "GROQ_API_KEY"),
    _key("xai", "xai-{a80}", "XAI_API_KEY"),
    _key("perplexity", "pplx-{a48}", "PERPLEXITY_API_KEY"),
    _key("replicate", "r8_{a37}", "REPLICATE_API_TOKEN"),
    _key("langsmith", ("lsv2_pt_{h32}_{h10}", "lsv2_sk_{h32}_{h10}"), "LANGSMITH_API_KEY"),
    _key("nvidia", "nvapi-{w64}", "NVIDIA_API_KEY"),
    _key("openrouter", "sk-or-v1-{h64}", "OPENROUTER_API_KEY"),
    _key("fireworks", "fw_{a22}", "FIREWORKS_API_KEY"),
    _key("deepseek", "sk-{h32}", "DEEPSEEK_API_KEY"),
    _key("langfuse", ("sk-lf-{h8}-{h4}-{h4}-{h4}-{h12}",), "LANGFUSE_SECRET_KEY"),
    _key("pinecone", "pcsk_{a6}_{a63}", "PINECONE_API_KEY"),
    _key("voyage", "pa-{w43}", "VOYAGE_API_KEY", bare=False),
    _key("tavily", ("tvly-{a32}", "tvly-dev-{a32}"), "TAVILY_API_KEY"),
    _key("firecrawl", "fc-{h32}", "FIRECRAWL_API_KEY"),
    _key("elevenlabs", "sk_{h48}", "ELEVENLABS_API_KEY"),
    _key("mailgun", ("key-{h32}", "{h32}-{h8}-{h8}"), "MAILGUN_API_KEY", bare=False),
    _key("mailchimp", "{h32}-us{d2}", "MAILCHIMP_API_KEY", bare=False),
    _key("brevo", "xkeysib-{h64}-{a16}", "BREVO_API_KEY"),
    _key("resend", "re_{a8}_{a24}", "RESEND_API_KEY"),
    _key("square", ("sq0atp-{w22}", "sq0csp-{w43}", "EAAA{w60}"), "SQUARE_ACCESS_TOKEN"),
    _key("docker", "dckr_pat_{w27}", "DOCKERHUB_TOKEN"),
    _key("tailscale", ("tskey-auth-{a17}-{a32}", "tskey-api-{a12}-{a32}"), "TS_AUTHKEY"),
    _key("supabase", ("sbp_{h40}", "sb_secret_{w31}"), "SUPABASE_SECRET_KEY"),
    _key("planetscale", ("pscale_tkn_{w43}", "pscale_pw_{w43}"), "PLANETSCALE_TOKEN"),
    _key("neon", "napi_{l64}", "NEON_API_KEY"),
    _key("rubygems", "rubygems_{h48}", "GEM_HOST_API_KEY"),
    _key("crates-io", "cio{a32}", "CARGO_REGISTRY_TOKEN"),
    _key("nuget", "oy2{l43}", "NUGET_API_KEY"),
    _key("clojars", "CLOJARS_{h60}", "CLOJARS_TOKEN"),
    _key("heroku", "HRKU-AA{w58}", "HEROKU_API_KEY"),
    _key("fly", ("fm2_{b200}", "fo1_{w43}"), "FLY_API_TOKEN"),
    _key("render", "rnd_{a28}", "RENDER_API_KEY"),
    _key("netlify", "nfp_{a36}", "NETLIFY_AUTH_TOKEN"),
    _key("vercel", ("vcp_{a56}",), "VERCEL_TOKEN"),
    _key("pulumi", "pul-{h40}", "PULUMI_ACCESS_TOKEN"),
    _key("figma", "figd_{w40}", "FIGMA_TOKEN"),
    _key("dynatrace", "dt0c01.{u24}.{u64}", "DYNATRACE_TOKEN"),
    _key("artifactory", ("AKCp{a69}", "cmVmdGtu{a56}"), "ARTIFACTORY_API_KEY"),
    _key("hubspot", ("pat-na1-{h8}-{h4}-{h4}-{h4}-{h12}", "pat-eu1-{h8}-{h4}-{h4}-{h4}-{h12}"), "HUBSPOT_TOKEN"),
    _key("airtable", "pat{a14}.{h64}", "AIRTABLE_TOKEN"),
    _key("telegram", "{d10}:AA{w33}", "TELEGRAM_BOT_TOKEN"),
    _key("discord-webhook", "https://discord.com/api/webhooks/{d18}/{w68}", "DISCORD_WEBHOOK"),
    _key("discord-bot", "MT{a24}.G{w5}.{w38}", "DISCORD_TOKEN"),
    _key("teams-webhook", "https://contoso.webhook.office.com/webhookb2/{h8}-{h4}-{h4}-{h4}-{h12}@{h8}-{h4}-{h4}-{h4}-{h12}/IncomingWebhook/{h32}/{h8}-{h4}-{h4}-{h4}-{h12}", "TEAMS_WEBHOOK"),
    _key("facebook", ("EAAC{a120}", "EAAB{a160}"), "FB_PAGE_TOKEN"),
    _key("dropbox", "sl.{w135}", "DROPBOX_TOKEN"),
    _key("asana", ("2/{d16}/{d16}:{h32}",), "ASANA_TOKEN", bare=False),
    _key("typeform", "tfp_{w59}", "TYPEFORM_TOKEN"),
    _key("plaid-access", "access-production-{h8}-{h4}-{h4}-{h4}-{h12}", "PLAID_ACCESS_TOKEN"),
    _key("flutterwave", "FLWSECK-{h32}-X", "FLW_SECRET"),
    _key("razorpay", "rzp_live_{a14}", "RAZORPAY_KEY"),
    _key("paystack", "sk_live_{h40}", "PAYSTACK_SECRET_KEY"),
    _key("easypost", ("EZAK{a54}", "EZTK{a54}"), "EASYPOST_API_KEY"),
    _key("shippo", "shippo_live_{h40}", "SHIPPO_TOKEN"),
    _key("duffel", "duffel_live_{w43}", "DUFFEL_TOKEN"),
    _key("lob", "live_{h35}", "LOB_API_KEY"),
    _key("frameio", "fio-u-{w64}", "FRAMEIO_TOKEN"),
    _key("prefect", "pnu_{l36}", "PREFECT_API_KEY"),
    _key("readme", "rdme_{l70}", "README_API_KEY"),
    _key("scalingo", "tk-us-{w48}", "SCALINGO_TOKEN"),
    _key("onepassword", ("ops_eyJ{b250}",), "OP_SERVICE_ACCOUNT_TOKEN"),
    _key("adobe", "p8e-{l32}", "ADOBE_CLIENT_SECRET"),
    _key("alibaba", "LTAI{a20}", "ALIBABA_CLOUD_ACCESS_KEY_ID"),
    _key("tencent", "AKID{a32}", "TENCENTCLOUD_SECRET_ID"),
    _key("contentful", "CFPAT-{w43}", "CONTENTFUL_TOKEN"),
    _key("sourcegraph", "sgp_{h40}", "SRC_ACCESS_TOKEN"),
    _key("buildkite", "bkua_{h40}", "BUILDKITE_TOKEN"),
    _key("circleci", "CCIPAT_{a22}_{h40}", "CIRCLE_TOKEN"),
    _key("posthog", "phx_{a43}", "POSTHOG_API_KEY"),
    _key("infracost", "ico-{a32}", "INFRACOST_API_KEY"),
    _key("sonar", ("sqp_{h40}", "squ_{h40}", "sqa_{h40}"), "SONAR_TOKEN"),
    _key("cal", "cal_live_{h32}", "CAL_API_KEY"),
    _key("clerk", "sk_live_{a50}", "CLERK_SECRET_KEY"),
    _key("intra42", "s-s4t2ud-{h64}", "INTRA42_SECRET"),
    _key("maxmind", "{a6}_{a29}_mmk", "MAXMIND_LICENSE_KEY", bare=False),
    _key("yandex", "AQVN{w36}", "YANDEX_API_KEY"),
    _key("zuplo", "zpka_{l32}_{h8}", "ZUPLO_KEY"),
    _key("harness", "pat.{a22}.{h24}.{a20}", "HARNESS_TOKEN"),
    _key("tokenman", "tkm_{w32}", "TOKENMAN_KEY"),
)  # fmt: skip

# Told by the name that stands beside them: documented as plain hexadecimal, base64 or UUIDs.
NAMED: tuple[Secret, ...] = tuple(
    Secret(f"named-{id}", fill(form), names, bare=False)
    for id, form, names in (
        ("aws-secret", "{b40}", ("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key")),
        ("datadog", "{h32}", ("DD_API_KEY", "DATADOG_API_KEY")),
        ("cloudflare", "{w40}", ("CLOUDFLARE_API_TOKEN", "CF_API_TOKEN")),
        ("mistral", "{a32}", ("MISTRAL_API_KEY",)),
        ("cohere", "{a40}", ("COHERE_API_KEY", "CO_API_KEY")),
        ("algolia", "{h32}", ("ALGOLIA_ADMIN_KEY", "ALGOLIA_API_KEY")),
        ("twilio-auth", "{h32}", ("TWILIO_AUTH_TOKEN",)),
        ("heroku-uuid", "{h8}-{h4}-4{h3}-a{h3}-{h12}", ("HEROKU_API_KEY",)),
        ("pagerduty", "u+{w18}", ("PAGERDUTY_API_KEY",)),
        ("azure-openai", "{h32}", ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY")),
        ("django", "{w50}", ("SECRET_KEY", "DJANGO_SECRET_KEY")),
        ("session", "{h64}", ("SESSION_SECRET", "COOKIE_SECRET", "NEXTAUTH_SECRET")),
        ("jwt-secret", "{a48}", ("JWT_SECRET", "JWT_SIGNING_KEY")),
        ("client-secret", "{a32}", ("CLIENT_SECRET", "OAUTH_CLIENT_SECRET")),
        ("rails", "{h128}", ("SECRET_KEY_BASE", "RAILS_MASTER_KEY")),
        ("encryption", "{b43}=", ("ENCRYPTION_KEY", "APP_ENCRYPTION_KEY")),
        ("webhook", "{a40}", ("WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET")),
        ("generic-token", "{a24}", ("ACCESS_TOKEN", "AUTH_TOKEN", "REFRESH_TOKEN")),
        ("generic-key", "{l28}", ("API_KEY", "SERVICE_API_KEY", "PRIVATE_API_KEY")),
        ("okta", "00{w40}", ("OKTA_API_TOKEN",)),
        ("fastly", "{w32}", ("FASTLY_API_TOKEN",)),
        ("snyk", "{h8}-{h4}-{h4}-{h4}-{h12}", ("SNYK_TOKEN",)),
    )
)

_WORDS = [
    "copper",
    "lantern",
    "maple",
    "orbit",
    "velvet",
    "thunder",
    "pickle",
    "harbor",
    "walnut",
    "comet",
    "saddle",
    "breeze",
    "tundra",
    "falcon",
    "ginger",
    "pepper",
]


def password(rng: Random) -> str:
    """As people and managers of passwords make them; none is a plain word."""
    first, second = rng.sample(_WORDS, 2)
    return rng.choice(
        [
            f"{first.title()}{rng.randrange(1960, 2030)}!",
            f"{first}-{second}-{rng.randrange(10, 99)}",
            f"{first.title()}{second.title()}{rng.choice('#$%&*?')}{rng.randrange(10, 999)}",
            f"{first.replace('e', '3').replace('a', '4').replace('o', '0').replace('i', '1')}{rng.randrange(10, 99)}{rng.choice('!?$#')}",
            _mixed(rng, 16, ALPHABETS["a"]) + rng.choice(["", "!", "%"]),
            _mixed(rng, 12, ALPHABETS["a"] + "!#$%*+-=?@^_~") + "k7",
        ]
    )


def _connection(rng: Random) -> str:
    user, host = (
        rng.choice(["app", "svc_orders", "root", "admin", "reader"]),
        rng.choice(["db.internal", "10.4.0.12", "prod-1.cluster.example.net", "localhost"]),
    )
    word = re.sub(r"[#/?%@:]", "x", password(rng))
    return rng.choice(
        [f"postgres://{user}:{word}@{host}:5432/shop", f"postgresql+asyncpg://{user}:{word}@{host}/shop?ssl=require", f"mysql://{user}:{word}@{host}:3306/wiki",
         f"mongodb+srv://{user}:{word}@{host}/main?retryWrites=true", f"redis://:{word}@{host}:6379/0", f"amqps://{user}:{word}@{host}/vhost",
         f"mssql://{user}:{word}@{host}:1433/master", f"clickhouse://{user}:{word}@{host}:9000/logs"]
    )  # fmt: skip


def _basic(rng: Random) -> str:
    return base64.b64encode(f"{rng.choice(_WORDS)}:{password(rng)}".encode()).decode()


PASSWORD = Secret(
    "password", password, ("PASSWORD", "DB_PASSWORD", "POSTGRES_PASSWORD", "ADMIN_PASS", "SMTP_PASSWORD", "REDIS_PASSWORD", "db_password", "userPassword"), "PASSWORD", bare=False
)  # fmt: skip
CONNECTION = Secret("connection-string", _connection, ("DATABASE_URL", "DB_URL", "BROKER_URL"), "CONNECTION_STRING")
JWT = Secret("jwt", jwt, ("ACCESS_TOKEN", "ID_TOKEN", "SUPABASE_ANON_KEY"), "JWT")
PRIVATE_KEY = Secret("private-key", private_key, ("PRIVATE_KEY", "TLS_KEY"), "PRIVATE_KEY")
BEARER = Secret("bearer", _one_of("{a32}", "{w43}", "{h40}", "v2.{a24}.{w30}"), ("AUTHORIZATION",), bare=False)
BASIC = Secret("basic", _basic, ("AUTHORIZATION",), bare=False)
OTHERS: tuple[Secret, ...] = (PASSWORD, CONNECTION, JWT, PRIVATE_KEY, BEARER, BASIC)
