"""The shapes of API keys, each strict enough that ordinary words do not have it.

The text searched is JSON or SSE, so a key may follow an escape (`\\nsk-...`, `\\u00e9sk-...`) whose last character
looks like part of a word.
"""

from __future__ import annotations

import re

# Where none of these stands, there is no key: quicker to find out than by the expression.
PREFIXES = (
    "sk-", "sk_", "AIza", "AKIA", "ASIA", "gsk_", "hf_", "xai-", "pplx-", "r8_", "ghp_", "gho_", "ghs_", "github_pat_",
    "xoxb-", "xoxp-", "tvly-", "fw_", "csk-", "pa-", "ek_", "ya29.", "eyJ", "AQ.", "PRIVATE KEY-----",
    "ghu_", "ghr_", "glpat-", "nvapi-", "lsv2_", "pcsk_", "jina_", "e2b_", "dapi", "npm_", "ntn_", "xapp-", "shpat_",
    "lin_api_", "sb_secret_", "rk_live_", "SG.", ":AA", "/services/T", "/webhooks/",
)  # fmt: skip
_START = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
SHAPES = re.compile(
    _START + r"(?:"
    r"sk-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{24,}"
    r"|sk_(?:live_|test_)?(?=[A-Za-z]*\d)[A-Za-z0-9]{24,}"
    r"|AIza[A-Za-z0-9_-]{35}"
    r"|A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|(?:gsk_|hf_|xai-|pplx-|r8_|csk-|tvly-|fw_|pa-|ek_)(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{28,}"
    r"|(?:glpat-|nvapi-|lsv2_|pcsk_|jina_|e2b_|ntn_|xapp-|shpat_|lin_api_|sb_secret_|rk_live_)"
    r"(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{20,}"
    r"|dapi[0-9a-f]{32}(?![0-9a-zA-Z])"
    r"|\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"
    r"|SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"
    r"|(?:gh[oprsu]|npm)_[A-Za-z0-9]{36}"
    r"|github_pat_[A-Za-z0-9_]{40,}"
    r"|xox[bp]-[A-Za-z0-9-]{20,}"
    r"|ya29\.[A-Za-z0-9_-]{30,}"
    r"|AQ\.[A-Za-z0-9_-]{40,}"
    r"|eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"
    r")"
    # Those of Telegram's bots and of Slack's and Discord's hooks stand in the path.
    r"|(?<=bot)\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"
    r"|(?<=/services/)T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,}"
    r"|(?<=/webhooks/)\d{17,20}/[A-Za-z0-9_-]{60,}"
    r"|-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----[A-Za-z0-9+/=\\nr\s]{64,}?-----END"
)
