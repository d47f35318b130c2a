"""The providers that are known without any configuration, and the kinds of value that redaction knows by name."""

from typing import Any

PROVIDERS: dict[str, dict[str, Any]] = {
    "anthropic": {
        "base_url": "https://api.anthropic.com",
        "dialect": "anthropic",
        "models": ["claude-*"],
        "hosts": ["api.anthropic.com"],
    },
    "openai": {
        "base_url": "https://api.openai.com",
        "dialect": "openai",
        "models": ["gpt-*", "chatgpt-*", "codex-*", "o[0-9]*", "text-embedding-*", "ft:*"],
        "hosts": ["api.openai.com"],
    },
    "codex": {
        # The ChatGPT login of the Codex programs; their keys go to `openai`.
        "base_url": "https://chatgpt.com/backend-api/codex",
        "dialect": "openai",
        "models": ["gpt-*", "codex-*"],
        "hosts": ["chatgpt.com"],
    },
    "gemini": {
        "base_url": "https://generativelanguage.googleapis.com",
        "dialect": "gemini",
        "models": ["gemini-*", "gemma-*"],
        "hosts": ["generativelanguage.googleapis.com"],
    },
    "gemini-code-assist": {
        # The Google login of the Gemini CLI; its keys go to `gemini`.
        "base_url": "https://cloudcode-pa.googleapis.com",
        "dialect": "gemini",
        "models": ["gemini-*"],
        "hosts": ["cloudcode-pa.googleapis.com"],
    },
}

ENTITIES: frozenset[str] = frozenset(
    {
        "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS",
        "API_KEY", "PRIVATE_KEY", "JWT", "PASSWORD", "CONNECTION_STRING",
    }
)  # fmt: skip
"""What this version detects; a test holds it to the detectors' own list, which cannot be imported from here."""

ENTITIES_LATER: frozenset[str] = frozenset(
    {
        "PERSON", "LOCATION", "ORGANIZATION", "NRP", "DATE_TIME", "URL", "CRYPTO", "MAC_ADDRESS", "MEDICAL_LICENSE",
        "US_BANK_NUMBER", "US_DRIVER_LICENSE", "US_ITIN", "US_PASSPORT", "UK_NHS", "UK_NINO", "ES_NIF", "ES_NIE",
        "IT_FISCAL_CODE", "IT_DRIVER_LICENSE", "IT_VAT_CODE", "IT_PASSPORT", "IT_IDENTITY_CARD", "PL_PESEL", "SG_NRIC_FIN",
        "SG_UEN", "AU_ABN", "AU_ACN", "AU_TFN", "AU_MEDICARE", "IN_PAN", "IN_AADHAAR", "IN_VEHICLE_REGISTRATION", "IN_VOTER",
        "IN_PASSPORT", "FI_PERSONAL_IDENTITY_CODE", "KR_RRN", "TH_TNIN",
    }
)  # fmt: skip
"""Names that presidio gives to other kinds: no typing mistakes, and accepted where they are switched off."""
