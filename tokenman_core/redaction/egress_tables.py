"""Which tools and commands reach the network, which only write files, and how URLs and hosts are written."""

import re
from typing import Final

# Names of tools are compared in lower case without separators; of `mcp__server__tool` the last part counts.
WRITE_TOOLS: Final = frozenset(
    {
        "write", "writefile", "createfile", "edit", "editfile", "multiedit", "notebookedit", "editnotebook",
        "strreplace", "searchreplace", "strreplaceeditor", "strreplacebasededittool", "strreplacebasededit",
        "applypatch", "applydiff", "insert", "insertcontent", "replace", "replaceinfile", "writetofile", "savefile",
        "appendfile", "updatefile", "patch", "create", "memory", "todowrite", "inserteditintofile",
    }
)  # fmt: skip
SHELL_TOOLS: Final = frozenset(
    {
        "bash", "shell", "localshell", "sh", "zsh", "exec", "execcommand", "execute", "executecommand", "runcommand",
        "runshellcommand", "runinterminal", "runterminalcmd", "terminal", "command", "powershell", "pwsh", "cmd",
        "console", "python", "runpython", "executepython", "codeinterpreter", "codeexecution", "executecode",
        "runcode", "ipython", "node", "runjavascript", "repl", "writestdin", "bashcodeexecution", "killshell",
        "container.exec", "containerexec", "ssh", "runscript", "process", "eval", "javascripttool", "unifiedexec",
    }
)  # fmt: skip
# Parts of the names of tools that fetch, search or send, whatever server they come from.
NETWORK_TOOL: Final = re.compile(
    r"fetch|websearch|searchweb|browse|browser|navigate|http|curl|wget|download|crawl|scrape|webpage|geturl|openurl|readurl|urlcontext|"
    r"googlesearch|bingsearch|bravesearch|tavily|duckduckgo|exasearch|perplexity|searchthe?(?:web|internet)|internet|webhook|^search$|^open$|^web"
)
SEPARATORS: Final = re.compile(r"[\s_.\-/:]+")

# A word of a script that reaches the network. Where one stands, all placeholders of the script are judged.
NETWORK_COMMAND: Final = re.compile(
    r"(?<![\w-])(?:"
    r"curl|wget|aria2c|axel|httpie|lynx|w3m|ncat|netcat|nc|socat|telnet|ssh|scp|sftp|rsync|ftp|tftp|lftp|rclone|sshpass|mosh|"
    r"dig|nslookup|drill|ping6?|traceroute|tracepath|mtr|whois|getent|resolvectl|fping|nmap|"
    r"sendmail|mailx|mutt|msmtp|swaks|openssl\s+s_client|websocat|grpcurl|mosquitto_pub|"
    r"aws\s+s3|gsutil|s3cmd|npm\s+publish|twine|gh\s+(?:api|gist|issue)|"
    r"invoke-webrequest|invoke-restmethod|iwr|irm|start-bitstransfer|bitsadmin|certutil|test-netconnection|resolve-dnsname|test-connection|"
    r"requests\.\w+|httpx\.\w+|aiohttp|urllib\w*|http\.client|httplib2?|smtplib|ftplib|socket\.\w+|telnetlib|paramiko|pycurl|websockets?|"
    r"axios|xmlhttprequest|net/http|open-uri|https?\.(?:get|request)|net\.(?:connect|createconnection|webclient|sockets)|dns\.\w+|"
    r"gethostby\w+|getaddrinfo|lwp|file_get_contents|fsockopen|curl_\w+|xdg-open|sensible-browser"
    r")(?![\w-])"
    # Words of prose too: only where a command begins.
    r"|(?:^|[|;&(`]\s*|\bsudo\s+)(?:mail|host|links|mc|http|https|open|start|xh)\s"
    r"|\bfetch\(|/dev/(?:tcp|udp)/|\bgit\s[^\n;|&]*?(?:[a-z+]+://|\w@[\w.-]+:)",
    re.IGNORECASE | re.MULTILINE,
)
# What a shell would still replace: where it stands beside a network command the destination is not known.
EXPANSION: Final = re.compile(r"\$[A-Za-z_({0-9@*]|`|<\(|\beval\b|\bbase64\b|\bxxd\b|\bprintf\b|\bxargs\b|%[A-Za-z_]+%")

# Where the host of a URL begins: behind two slashes, or at `www.`; what stands before them is looked at backwards.
URL_START: Final = re.compile(r"[/\\]{2,}|(?<![\w.])www\.", re.IGNORECASE)
QUOTED_URL: Final = re.compile(r"[\"'<`](?:(?:[a-z][a-z0-9+.-]{0,31}:)?[/\\]{2,}|(?=www\.))", re.IGNORECASE)
SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}:$", re.IGNORECASE)
BARE_URL: Final = re.compile(
    r"(?<![\w@./\\-])(?:[a-z0-9](?:[a-z0-9-]{0,62})\.){1,8}[a-z]{2,24}(?::[0-9]{1,5})?(?=[/?#])", re.IGNORECASE
)
HOST_IN_COMMAND: Final = re.compile(
    r"(?<![\w.-])(?:(?:[a-z0-9](?:[a-z0-9-]{0,62})\.){1,8}(?!(?:py|js|ts|sh|txt|json|md|log|csv|ya?ml|toml|html?|xml|conf|cfg|ini|env|pem|key|crt|"
    r"zip|gz|tgz|tar|rs|go|java|rb|c|h|cpp|lock|sql|db|bak|tmp|out|png|jpg|pdf)(?![\w-]))[a-z][a-z0-9-]{1,23}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})(?![\w-]|\.\w)",
    re.IGNORECASE,
)
NOT_HOSTS: Final = re.compile(
    r"(?i)^(?:requests|httpx|urllib3?|http|https?|aiohttp|socket|smtplib|os|sys|json|re|path|console|math|axios|document|window|net|dns|response|"
    r"resp|res|req|self|this|np|pd|subprocess|base64|hashlib|np|client|session|print|data|r|f|p|x|e|app|module|process|fs|object|array|string)\."
)
