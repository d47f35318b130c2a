"""What people mistype, and what they are told: the line, the setting, and a value that would do."""

import pytest

from tokenman_core.config.load import load
from tokenman_core.errors import ConfigError

YAML = [
    # the file, the line, what is told
    ("limits:\n\trequest_body: 5", 2, "a tab where only spaces may be; indent with spaces"),
    ("limits:\n  request_body: 5\n connections: 3", 3, "the indentation does not fit the lines above"),
    ("redaction: mode: off", 1, "a colon where none can be; put the value into quotes"),
    ("secret: env:", 1, "a colon where none can be"),
    ("listen: 127.0.0.1:1\nredaction:\n  allow: - a", 3, "a list cannot begin here; write [a, b]"),
    ("listen: [\nsecret: null\n", 1, "a bracket, a brace or a quote that begins here is not closed"),
    ("secret: null\nlisten: 'x\ndata_dir: /x\n", 2, "a bracket, a brace or a quote that begins here is not closed"),
    ("redaction: {allow: [a b: c d], mode: *x}", 1, "a * that no & belongs to"),
    ("redaction: {mode: off\nsecret: null}", 2, "a comma or a closing bracket is missing"),
    ("secret: @me", 1, "a value that begins with a sign of YAML's own; put it into quotes"),
]

BACKUP = "providers: {backup: {base_url: 'https://llm.example.com', dialect: anthropic}}\n"
KEYLESS = "has no key, and the caller's own is for the provider that his call names; set providers.{}.key"
MISTAKES = [
    # the file, the line, the setting, what is told behind its name
    ("port: 8080", 1, "port", "there is no such setting; did you mean listen?"),
    ("api_key: x", 1, "api_key", "there is no such setting; did you mean providers.NAME.key?"),
    ("request_body: 5", 1, "request_body", "there is no such setting; did you mean limits.request_body?"),
    ("log: {level: debug}", 1, "log", "there is no such setting; did you mean telemetry.log?"),
    ("telemetry:\n  level: debug", 2, "telemetry.level", "there is no such setting; did you mean telemetry.log.level?"),
    ("providers: {openai: {url: x}}", 1, "providers.openai.url", "there is no such setting; did you mean base_url?"),
    ("providers: {openai: {api_key: x}}", 1, "providers.openai.api_key", "no such setting; did you mean key?"),
    ("limits: {<<: {request_bdy: 5}}", 1, "limits.request_bdy", "there is no such setting; did you mean request_body?"),
    ("limits: {request_headers: {siez: 5}}", 1, "limits.request_headers.siez", "did you mean size?"),
    ("providers:\n  antropic: {models: []}", 2, "providers.antropic.base_url", "did you mean providers.anthropic, which"),
    ("providers: [anthropic]", 1, "providers", "must hold names, each with a value"),
    ("providers: {openai: sk-abc}", 1, "providers.openai", "settings of its own, for example {base_url: https://api.ex"),
    ("providers: {openai: {hosts: ['https://a.b']}}", 1, "providers.openai.hosts[0]", "good values: api.example.com"),
    ("providers: {openai: {hosts: a.b}}", 1, "providers.openai.hosts", "must be a list; a good value: [api.example.com]"),
    ("providers: {openai: {models: gpt-4}}", 1, "providers.openai.models", 'must be a list; a good value: ["*"]'),
    ("providers: {openai: {key: $K}}", 1, "providers.openai.key", "is a shell's way to name a variable; good value: env:K"),
    ("providers: {openai: {key: '${K}'}}", 1, "providers.openai.key", "good value: env:K"),
    ("providers: {openai: {key: env:$K}}", 1, "providers.openai.key", "good value: env:OPENAI_API_KEY, without $"),
    ("providers: {openai: {key: env:K}}", 1, "providers.openai.key", "environment variable K, which is not set"),
    ("providers: {openai: {key: file:/no}}", 1, "providers.openai.key", "file /no, which cannot be read: No such file"),
    ("providers: {openai: {key: ''}}", 1, "providers.openai.key", "must not be empty; good values: env:NAME"),
    ("secret: ''", 1, "secret", "must not be empty; good values: env:NAME"),
    ("redaction: off", 1, "redaction", "must hold settings of its own, for example {mode: redact}"),
    ("limits:\n- request_body: 5", 1, "limits", "must hold settings of its own, for example {request_body: 32MiB}"),
    ("admin: [a]", 1, "admin", 'must hold settings of its own, for example {listen: 127.0.0.1:7678}'),
    ("redaction:\n  allow:\n    - a\n    - 1", 4, "redaction.allow[1]", 'must be a text; a good value: "*@example.com"'),
    ("redaction: {allow: ['']}", 1, "redaction.allow[0]", 'must not be empty; a good value: "*@example.com"'),
    ("redaction: {allow: {a: 1}}", 1, "redaction.allow", 'must be a list; a good value: ["*@example.com"]'),
    ("redaction: {mode: true}", 1, "redaction.mode", "must be one of redact, block, hash, log or off"),
    ("redaction: {entities: [EMAIL_ADDRESS]}", 1, "redaction.entities", "must hold names, each with a value"),
    ("redaction: {entities: {EMAIL: off}}", 1, "redaction.entities.EMAIL", "did you mean EMAIL_ADDRESS?"),
    ("redaction: {entities: {CREDIT_CARD: {threshold: 2}}}", 1, "redaction.entities.CREDIT_CARD.threshold", "must be at most 1"),
    ("redaction: {entities: {CREDIT_CARD: {}}}", 1, "redaction.entities.CREDIT_CARD", "says nothing; a good value"),
    ("redaction: {allow: ['*']}", 1, "redaction.allow[0]", "lets every value pass; if that is meant: mode: off"),
    ("redaction: {allow: [{entity: US_SSN, regex: '.+'}]}", 1, "redaction.allow[0]", "lets every value pass; if that is meant:"
     " entities: {US_SSN: off}"),
    ("redaction:\n  allow:\n    - a\n    - {}", 4, "redaction.allow[1]", "must say one of value, glob and regex"),
    ("redaction: {allow: ['/(?=a)b/']}", 1, "redaction.allow[0].regex", "is no expression that RE2 takes (invalid perl operator)"),
    ("redaction: {allow: [{entity: EMAIL, value: a}]}", 1, "redaction.allow[0].entity", "did you mean EMAIL_ADDRESS?"),
    ("redaction: {deny: [ab]}", 1, "redaction.deny[0]", "is too short to be looked for in all text"),
    ("redaction: {deny: ['/a*/']}", 1, "redaction.deny[0].regex", "matches the empty text"),
    ("redaction: {deny: ['/[a-z]+/']}", 1, "redaction.deny[0]", "is so broad that it finds ordinary words or numbers"),
    ("redaction: {deny: [{entity: US_SSN, value: abc}]}", 1, "redaction.deny[0].entity", "is a kind of value that is known"),
    ("redaction: {deny: [Aurora], entities: {CUSTOM: log}}", 1, "redaction.entities.CUSTOM", "always masks; good values: redact"),
    ("redaction:\n  recognizers:\n    - name: A\n      pattern: '(a)\\1'", 4, "redaction.recognizers[0].pattern", "RE2 takes"),
    ("redaction: {recognizers: [{name: a-b, pattern: 'E-1'}]}", 1, "redaction.recognizers[0].name", "a good value: EMPLOYEE_ID"),
    ("redaction: {recognizers: [{name: JWT, pattern: 'E-1'}]}", 1, "redaction.recognizers[0].name", "is known already"),
    ("redaction: {recognizers: [{name: A, pattern: 'E-1'}, {name: A, pattern: 'E-2'}]}", 1, "redaction.recognizers[1].name",
     "is the name of another recognizer"),
    ("redaction: {projects: {a: {}}}", 1, "redaction.projects.a", "says nothing; a good value: {mode: block}"),
    ("redaction: {projects: {'a*': {mode: off}, ab: {mode: log}}}", 1, "redaction.projects.ab", "is never reached"),
    ("redaction: {projects: {a: {entities: {EMAIL: off}}}}", 1, "redaction.projects.a.entities.EMAIL", "did you mean"),
    ("redaction: {projects: {a b: {mode: off}}}", 1, "redaction.projects.a b", "is no name for projects"),
    ("tests: [{name: a, request: {dialect: openai, text: x}, expect: {masked: [EMAIL]}}]", 1, "tests[0].expect.masked[0]",
     "did you mean EMAIL_ADDRESS?"),
    ("redaction: {entities: {PHONE: off}}", 1, "redaction.entities.PHONE", "did you mean PHONE_NUMBER?"),
    ("limits: {request_body: 32MBit}", 1, "limits.request_body", 'good values: 65536, "64KiB", "32MiB", "1GB"'),
    ("limits: {request_body: true}", 1, "limits.request_body", "is not a size"),
    ("ledger: {retention: long}", 1, "ledger.retention", "is not a duration; good values: 30d, 90d, 365d"),
    ("telemetry: {log: {file: rel.log}}", 1, "telemetry.log.file", "for example ~/.local/share/tokenman/tokenman.log"),
    ("data_dir: rel", 1, "data_dir", "for example ~/.local/share/tokenman"),
    ("limits: {client_body_timeout: 1h30m}", 1, "limits.client_body_timeout", 'good values: 30, 1.5, "500ms", "30s"'),
    ("limits: {client_body_timeout: null}", 1, "limits.client_body_timeout", "is not a duration"),
    ("ledger: {retention: forever}", 1, "ledger.retention", "is not a duration"),
    ("limits: {connections: many}", 1, "limits.connections", "must be a whole number; a good value: 1000"),
    ("limits: {connections: 1.5}", 1, "limits.connections", "must be a whole number; a good value: 1000"),
    ("breaker: {ratio: half}", 1, "breaker.ratio", "must be a number; a good value: 0.5"),
    ("retry: {statuses: 503}", 1, "retry.statuses", "must be a list; a good value: [429, 502, 503, 504, 529]"),
    ("retry: {statuses: ['503']}", 1, "retry.statuses[0]", "must be a whole number; a good value: 429"),
    ("injection: {scan: [tools]}", 1, "injection.scan[0]", "must be one of system, user, assistant or tool_results"),
    ("listen: http://127.0.0.1:7677", 1, "listen", 'is not an address; good values: 127.0.0.1:7677, "[::1]:7677"'),
    ("listen: 127.0.0.1:99999", 1, "listen", "is not an address"),
    ("admin:\n  listen: 127.0.0.1:7677", 2, "admin.listen", "must not be the same as listen; good values: 127.0.0.1:7677"),
    ("access: {allowed_origins: [5]}", 1, "access.allowed_origins[0]", "a good value: http://localhost:3000"),
    ("telemetry: {log: {file: log.txt}}", 1, "telemetry.log.file", "must be an absolute path, for example ~/"),
    ("data_dir: 5", 1, "data_dir", "must be a path; a good value: ~/.local/share/tokenman"),
    ("tests: {a: 1}", 1, "tests", "must be a list"),
    ("tests: [{name: a}]", 1, "tests[0].request", "is missing; a good value: {dialect: anthropic, text: "),
    ("tests:\n  - name: a\n    request: {dialect: chat, text: x}\n    expect: {refused: 400}", 3, "tests[0].request.dialect",
     "must be one of anthropic, openai or gemini"),
    ("tests:\n  - name: a\n    request: {dialect: openai}\n    expect: {refused: 400}", 3, "tests[0].request",
     "must hold either text or body"),
    ("tests:\n  - name: a\n    request: {dialect: openai, text: x}\n    expect: {}", 4, "tests[0].expect", "expects nothing; good"),
    ("tests:\n  - name: a\n    request: {dialect: openai, text: x}\n    expect: {masked: EMAIL_ADDRESS}", 4,
     "tests[0].expect.masked", "must be a list; a good value: [EMAIL_ADDRESS]"),
    ("tests:\n  - name: a\n    request: {dialect: openai, text: x}\n    expect: {masked: [EMAIL]}", 4,
     "tests[0].expect.masked[0]", "is not an entity; did you mean EMAIL_ADDRESS?"),
    ("tests:\n  - name: a\n    request: {dialect: openai, text: x}\n    expect: {refused: 200}", 4, "tests[0].expect.refused",
     "must be at least 400; a good value: 400"),
    ("tests:\n  - name: a\n    request: {dialect: openai, text: x}\n    expect: {provider: opnai}", 4, "tests[0].expect.provider",
     "names no provider; did you mean openai?"),
    ("tests:\n  - name: a\n    request: {dialect: openai, text: x}\n    expected: {refused: 400}", 2, "tests[0].expect",
     "is missing"),
    ("tests:\n" + 2 * "  - {name: a, request: {dialect: openai, text: x}, expect: {masked: []}}\n", 3, "tests[1].name",
     "is the name of another case"),
    ("timezone: Berlin", 1, "timezone", "good values: UTC, Europe/Berlin"),
    ("routes: {try: [anthropic]}", 1, "routes", "must be a list"),
    ("routes: [anthropic]", 1, "routes[0]", 'must hold settings of its own, for example {match: {model: "claude-*"}}'),
    ("routes: [{try: anthropic}]", 1, "routes[0].try", "must be a list; a good value: [anthropic]"),
    ("routes: [{try: []}]", 1, "routes[0].try", "must not be empty; a good value: [anthropic]"),
    ("routes:\n- math: {model: x}\n  try: [anthropic]", 2, "routes[0].math", "no such setting; did you mean match?"),
    ("routes: [{weight: 1}]", 1, "routes[0].weight", "no such setting; did you mean routes[0].try[0].weight?"),
    ("routes: [{base_url: x}]", 1, "routes[0].base_url", "no such setting; did you mean providers.NAME.base_url?"),
    ("routes: [{match: {modell: x}}]", 1, "routes[0].match.modell", "no such setting; did you mean model?"),
    ("routes: [{match: {model: ''}}]", 1, "routes[0].match.model", "must not be empty"),
    ("routes: [{match: openai}]", 1, "routes[0].match", "must hold settings of its own, for example"),
    ("routes: [{retry: [openai]}]", 1, "routes[0].retry", "there is no such setting; did you mean try?"),
    ("routes:\n- try:\n  - openai\n  - opnai", 4, "routes[0].try[1]", "names no provider; did you mean openai?"),
    ("routes: [{try: [{provider: antropic}]}]", 1, "routes[0].try[0]", "names no provider; did you mean anthropic?"),
    ("routes: [{try: [{model: x}]}]", 1, "routes[0].try[0].provider", "is missing; a good value: anthropic"),
    ("routes: [{try: [{provider: openai, modell: x}]}]", 1, "routes[0].try[0].modell", "did you mean model?"),
    ("routes: [{try: [{provider: openai, weight: -1}]}]", 1, "routes[0].try[0].weight", "must be at least 0"),
    ("routes: [{try: [{provider: openai, weight: 0.5}]}]", 1, "routes[0].try[0].weight", "must be a whole number"),
    ("routes: [{try: [5]}]", 1, "routes[0].try[0]", "must hold settings of its own, for example {provider: anthropic}"),
    ("routes: [{try: [openai, openai]}]", 1, "routes[0].try[1]", "is there already; name each provider once"),
    ("routes: [{try: [anthropic, openai]}]", 1, "routes[0].try", "leads to different APIs (anthropic, openai), and calls"),
    ("routes: [{match: {provider: opnai}}]", 1, "routes[0].match.provider", "matches no provider; did you mean openai?"),
    ("routes: [{match: {provider: openai}, try: [anthropic]}]", 1, "routes[0].match.provider",
     "matches no provider of the API that `try` leads to (anthropic)"),
    ("routes:\n- {try: [openai]}\n- {match: {model: o3}, try: [openai]}", 3, "routes[1].match",
     "is never reached: routes[0] matches all that it does, and the first match wins; put it before that one"),
    (f"{BACKUP}routes: [{{try: [anthropic, backup]}}]", 2, "routes[0].try[1]", KEYLESS.format("backup")),
    (f"{BACKUP}routes: [{{try: [backup]}}]", 2, "routes[0].try[0]", KEYLESS.format("backup")),
    ("routes: [{try: [openai, codex]}]", 1, "routes[0].try[1]", KEYLESS.format("codex")),
    ("routes: [{match: {provider: openai}, try: [codex]}]", 1, "routes[0].try[0]", KEYLESS.format("codex")),
    ("breaker: {probes: 0}", 1, "breaker.probes", "must be at least 1; a good value: 1"),
    ("retry: {attempts: 0}", 1, "retry.attempts", "must be at least 1; a good value: 3"),
    ("retry: {statuses: [200]}", 1, "retry.statuses[0]", "must be at least 400; a good value: 429"),
]  # fmt: skip

VARIABLES = [
    ("TOKENMAN_REQUEST_BODY", "there is no setting request_body; did you mean limits.request_body?"),
    ("TOKENMAN_LIMIT__REQUEST_BODY", "there is no setting limit; did you mean limits?"),
    ("TOKENMAN_PROVIDERS__OPENAI__API_KEY", "there is no setting providers.openai.api_key; did you mean key?"),
    ("TOKENMAN_ZZZ", "there is no setting zzz; known here: listen, data_dir"),
]


LED = [
    "routes: [{try: [anthropic]}]",
    "routes: [{try: [anthropic, {provider: anthropic, model: claude-old}]}]",
    f"{BACKUP[:-3]}, key: env:K}}}}\nroutes: [{{try: [anthropic, backup]}}]",
    f"{BACKUP}routes: [{{match: {{provider: back*}}, try: [backup]}}]",
    f"{BACKUP}routes: [{{match: {{provider: backup}}, try: [backup]}}]",
    *(
        f"providers: {{backup: {{base_url: 'http://{host}:1', dialect: anthropic}}}}\nroutes: [{{try: [anthropic, backup]}}]"
        for host in (
            "127.0.0.1",
            "10.1.2.3",
            "[fd00::1]",
            "localhost",
            "ollama",
            "llm.home.arpa",
            "host.docker.internal",
        )
    ),
]


@pytest.mark.parametrize("text", LED)
def test_a_route_may_lead_to_whom_the_caller_names_to_who_has_a_key_and_to_who_is_near(tmp_path, text):
    path = tmp_path / "t.yaml"
    path.write_text(text)
    assert load(path, {"HOME": str(tmp_path), "K": "sk-x"}).settings.routes


def test_a_provider_of_ones_own_is_not_taken_for_a_known_one(tmp_path):
    said = refused(tmp_path, "providers:\n  mine: {dialect: openai}")
    assert said.splitlines()[0].endswith("providers.mine.base_url: is missing; a good value: https://api.example.com")


def refused(tmp_path, text: str, **environ: str) -> str:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, {"HOME": str(tmp_path), **environ})
    return str(caught.value).replace(str(path), "FILE")


@pytest.mark.parametrize(("text", "line", "told"), YAML, ids=[row[0] for row in YAML])
def test_what_is_not_yaml_is_told_with_the_line_and_the_remedy(tmp_path, text, line, told):
    assert refused(tmp_path, text).startswith(f"FILE:{line}: is not valid YAML: {told}")


@pytest.mark.parametrize(("text", "line", "setting", "told"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_told_with_its_line_its_setting_and_what_would_do(tmp_path, text, line, setting, told):
    first = refused(tmp_path, text).splitlines()[0]
    assert first.startswith(f"FILE:{line}: {setting}: ")
    assert told in first


@pytest.mark.parametrize(("variable", "told"), VARIABLES)
def test_a_variable_that_means_nothing_is_told_what_was_meant(tmp_path, variable, told):
    assert refused(tmp_path, "", **{variable: "5"}).startswith(f"environment {variable}: {told}")


def test_values_that_a_variable_gives_as_a_group_have_it_as_their_origin(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("limits:\n  connections: 5\n  request_body: 6\n")
    found = load(path, {"HOME": str(tmp_path), "TOKENMAN_LIMITS": "{connections: 7}"})
    assert found.settings.limits.request_body == 32 * 1024**2  # the group was replaced as a whole
    assert found.origin("limits.connections") == "environment TOKENMAN_LIMITS"
    assert found.origin("limits.request_body") == "default"
