"""Secrets that can be told by their own shape: providers' documented key formats, tokens, private keys, as a table.

`head` is a necessary condition that the gate looks for (no look-around, so that Hyperscan and RE2 can both run it), and it
begins where the value begins. `pattern` is the check, matched at that place. A key ends where no further key character
follows, whatever that is: a quote, a CJK letter, the end of a sentence. Sources: the providers' documentation and the
rules of gitleaks (MIT licence).
"""

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """`keywords`: literals in lower case of which one stands in every match of `head` (for gates that search words first)."""

    id: str
    entity: str
    keywords: tuple[str, ...]
    head: str
    pattern: re.Pattern[str]
    caseless: bool = False
    min_entropy: float = 0.0  # bits a character, of the value


_START = r"(?<![A-Za-z0-9_])"


def _key(id: str, prefixes: tuple[str, ...], body: str, entropy: float = 2.0) -> Rule:
    """A key that is one of some literal prefixes and then `body`, a character class with its repetition."""
    alternatives = "|".join(re.escape(prefix) for prefix in prefixes)
    first = body[: body.index("]") + 1]
    return Rule(
        id,
        "API_KEY",
        tuple(prefix.lower() for prefix in prefixes),
        f"(?:{alternatives}){first}{{4}}",
        re.compile(f"{_START}(?:{alternatives}){body}+"),
        min_entropy=entropy,
    )


_WORD = r"[A-Za-z0-9_-]"
_ALNUM = r"[A-Za-z0-9]"
_HEX = r"[0-9a-fA-F]"

SHAPES: tuple[Rule, ...] = (
    _key("anthropic", ("sk-ant-",), _WORD + "{16,}"),
    _key("openai-project", ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"), _WORD + "{16,}"),
    _key("openrouter", ("sk-or-",), _WORD + "{16,}"),
    _key("openai", ("sk-",), _ALNUM + "{20,}", 3.0),
    _key("aws-access-key", ("AKIA", "ASIA", "ABIA", "ACCA"), "[A-Z0-9]{16}"),
    _key("github", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _ALNUM + "{30,}"),
    _key("github-fine", ("github_pat_",), "[A-Za-z0-9_]{22,}"),
    _key(
        "gitlab",
        ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glimt-", "glagent-", "gloas-"),
        "[A-Za-z0-9_.-]{18,}",
    ),
    _key(
        "slack",
        ("xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxo-", "xoxr-", "xoxs-", "xoxc-", "xoxd-", "xapp-"),
        r"[A-Za-z0-9%.-]{10,}",
    ),
    _key("slack-webhook", ("hooks.slack.com/services/", "hooks.slack.com/workflows/"), "[A-Za-z0-9/]{20,}"),
    _key("stripe", ("sk_live_", "sk_test_", "sk_prod_", "rk_live_", "rk_test_", "rk_prod_"), _ALNUM + "{10,}"),
    _key("stripe-webhook", ("whsec_",), "[A-Za-z0-9+/=]{20,}"),
    _key("google", ("AIza",), _WORD + "{30,}"),
    _key("google-oauth", ("GOCSPX-", "ya29."), _WORD + "{20,}"),
    _key("npm", ("npm_",), _ALNUM + "{36}"),
    _key("pypi", ("pypi-AgE", "pypi-AgEN"), _WORD + "{30,}"),
    _key("hugging-face", ("hf_", "api_org_"), _ALNUM + "{30,}"),
    Rule(
        "sendgrid",
        "API_KEY",
        ("sg.",),
        r"SG\.[A-Za-z0-9_-]{10}",
        re.compile(_START + r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}+"),
    ),
    _key("twilio", ("SK",), "[0-9a-f]{32}", 3.0),
    _key("digitalocean", ("dop_v1_", "doo_v1_", "dor_v1_"), "[a-f0-9]{64}"),
    _key("shopify", ("shpat_", "shpca_", "shppa_", "shpss_"), _HEX + "{32}"),
    _key("databricks", ("dapi",), "[a-f0-9]{32}", 3.0),
    _key("linear", ("lin_api_", "lin_oauth_"), _ALNUM + "{32,}"),
    _key("notion", ("ntn_", "secret_"), _ALNUM + "{40,}", 3.5),
    _key("postman", ("PMAK-",), "[A-Za-z0-9-]{40,}"),
    _key("new-relic", ("NRAK-", "NRJS-", "NRII-"), _WORD + "{19,}"),
    _key("grafana", ("glc_", "glsa_"), "[A-Za-z0-9_+/=]{32,}"),
    _key("sentry", ("sntrys_", "sntryu_"), "[A-Za-z0-9_+/=]{40,}"),
    _key("vault", ("hvs.", "hvb.", "hvr."), _WORD + "{20,}"),
    _key("doppler", ("dp.pt.", "dp.st.", "dp.sa.", "dp.ct."), "[A-Za-z0-9._-]{32,}"),
    _key("age", ("AGE-SECRET-KEY-1",), "[A-Z0-9]{50,}"),
    _key("atlassian", ("ATATT3", "ATCTT3", "ATBB"), "[A-Za-z0-9_=-]{20,}", 3.5),
    _key("groq", ("gsk_",), _ALNUM + "{30,}"),
    _key("xai", ("xai-",), _ALNUM + "{40,}"),
    _key("perplexity", ("pplx-",), _ALNUM + "{30,}"),
    _key("replicate", ("r8_",), _ALNUM + "{30,}"),
    _key("langsmith", ("lsv2_pt_", "lsv2_sk_"), "[A-Za-z0-9_]{30,}"),
    _key("nvidia", ("nvapi-",), _WORD + "{40,}"),
    _key("mailgun", ("key-",), "[0-9a-f]{32}", 3.0),
    _key("square", ("sq0atp-", "sq0csp-"), _WORD + "{20,}"),
    _key("docker", ("dckr_pat_", "dckr_oat_"), _WORD + "{20,}"),
    _key("tailscale", ("tskey-",), "[A-Za-z0-9-]{16,}"),
    _key("supabase", ("sbp_", "sb_secret_"), "[A-Za-z0-9_]{20,}", 3.0),
    _key("planetscale", ("pscale_tkn_", "pscale_pw_", "pscale_oauth_"), "[A-Za-z0-9_.=-]{20,}"),
    _key("rubygems", ("rubygems_",), "[a-f0-9]{48}"),
    _key("heroku", ("HRKU-",), _WORD + "{30,}"),
    _key("pulumi", ("pul-",), "[a-f0-9]{40}"),
    _key("figma", ("figd_",), _WORD + "{30,}"),
    _key("dynatrace", ("dt0c01.",), "[A-Z0-9.]{40,}"),
    _key("artifactory", ("AKCp",), _ALNUM + "{60,}"),
    _key("tokenman", ("tkm_",), _WORD + "{16,}"),
    _key("hubspot", ("pat-na1-", "pat-eu1-"), "[0-9a-f-]{36}"),
    Rule(
        "azure-client-secret",
        "API_KEY",
        ("q~",),
        r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{4}",
        re.compile(r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~-])"),
        min_entropy=3.0,
    ),
    Rule(
        "telegram",
        "API_KEY",
        (":aa",),
        r"[0-9]{8,10}:AA[A-Za-z0-9_-]{8}",
        re.compile(r"(?<![A-Za-z0-9_])[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    ),
    Rule(
        "airtable",
        "API_KEY",
        ("pat",),
        r"pat[A-Za-z0-9]{14}\.[a-f0-9]{8}",
        re.compile(_START + r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    ),
    Rule(
        "discord-webhook",
        "API_KEY",
        ("/api/webhooks/",),
        r"discord(?:app)?\.com/api/webhooks/[0-9]{8}",
        re.compile(r"discord(?:app)?\.com/api/webhooks/[0-9]{8,24}/[A-Za-z0-9_-]{40,}+"),
    ),
    Rule(
        "discord-bot",
        "API_KEY",
        (".",),
        r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{8}",
        re.compile(_START + r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}(?![A-Za-z0-9_-])"),
        min_entropy=4.0,
    ),
    Rule(
        "jwt",
        "JWT",
        ("eyj",),
        r"eyJ[A-Za-z0-9_-]{8}",
        re.compile(_START + r"eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]{0,4096}+)?"),
    ),
    Rule(
        "private-key",
        "PRIVATE_KEY",
        ("private key",),
        r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY",
        re.compile(r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----"),  # how far it goes: private_key_end
    ),
    Rule(
        "private-key-base64",
        "PRIVATE_KEY",
        ("ls0tls1crudjti",),
        r"LS0tLS1CRUdJTi(?:BSU0EgUFJJVkFURSBLRVk|BQUklWQVRFIEtFWS0|BFQyBQUklWQVRFIEtFWS|BPUEVOU1NIIFBSSVZBVEUgS0VZ|BFTkNSWVBURUQg)",
        re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{40,65536}+={0,2}"),
    ),
)

_END = "-----END"
_LONGEST_KEY = 32 * 1024
_END_LINE = re.compile(r"-----END [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----")
_BASE64_LINES = re.compile(r"(?:[A-Za-z0-9+/=]|[ \t]{0,8}\r?\n|\\[nr])*+")


def private_key_end(text: str, head_end: int) -> int | None:
    """Where the private key ends whose first line ends at `head_end`; None if no key follows it.

    A key that is cut off goes as far as its base64 does.
    """
    limit = head_end + _LONGEST_KEY
    end = text.find(_END, head_end, limit)
    if end >= 0 and text.find("-----BEGIN", head_end, end) < 0 and (line := _END_LINE.match(text, end)) is not None:
        return line.end() if end - head_end >= 8 else None
    body = _BASE64_LINES.match(text, head_end, limit)
    return body.end() if body is not None and body.end() - head_end >= 16 else None
