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
# Of the tools of a remote server these say nothing: what it writes to, or creates, may be anywhere.
BARE_VERBS: Final = frozenset({"write", "edit", "insert", "replace", "patch", "create", "memory", "insertcontent"})
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
    r"googlesearch|bingsearch|bravesearch|tavily|duckduckgo|exasearch|perplexity|searchthe?(?:web|internet)|internet|webhook|^search$|^open$|^web|"
    r"^visit|goto|(?:open|new|load|view|read)(?:page|url|site|link|tab)|(?:^|api|post|put|send|make|rest|get|graphql)request$|callapi|apicall|"
    r"restcall|graphql|axios|firecrawl|jinareader|serpapi|kagi|deepresearch|wikipedia|imagesearch|xsearch|searchquery|rssread|readrss|"
    r"upload|pastebin|creategist|dnslookup|resolvedns|^ping$|whois|^nslookup|^dig$|s3put|putobject"
)
# Tools that send mail: an address of the request may be a recipient, and what else the mail holds must have stood with it.
MAIL_TOOL: Final = re.compile(
    r"send\w{0,12}mail|mail\w{0,8}send|(?:gmail|outlook|mail|smtp)(?:compose|reply|forward|createdraft|draft)|replyto\w{0,3}mail|"
    r"forwarde?mail|(?:compose|draft|create)e?mail|createdraft|gmailsend|outlooksend|sendgrid|mailgun|postmark"
)
# Tools that say something to others, by way of a service. What only reads there (`list_issues`) is none.
_SAYS: Final = (
    r"(?:post|send|reply|add|create|creation|update|edit|submit|write|leave|make|put|open|new|"
    r"share|publish|append|insert|push|report|merge)"
)
_SAID: Final = (
    r"(?:message|msg|comment|reply|issue|ticket|tweet|toot|thread|pullrequest|mergerequest|review|discussion|release|page|article|story|"
    r"announcement|notification|alert|incident|event|dm|sms|blog|snippet|wiki|post|status|feedback|form|chat|"
    r"paste|gist|invite|invitation)"
)
PUBLISHING_TOOL: Final = re.compile(
    rf"^{_SAYS}\w{{0,16}}?{_SAID}s?(?!s|details|history|list|ess)|^(?:\w{{1,16}}){_SAYS}\w{{0,16}}?{_SAID}s?$|^\w{{0,12}}commenton|^comment$"
    rf"|{_SAID}(?:e?s)?{_SAYS}$|^(?:share|invite)|^(?:make|place)\w{{0,8}}call|^(?:log|track|capture)event"
    r"|publish|tweet|broadcast|^announce|^notify|notify(?:user|team|channel|slack)|^(?:re)?post$|^reply|replyto|^dm$|^say$"
    r"|^send(?!input|keys?|stdin|signal|command)|^(?:create|open|merge)(?:pr|mr)$"
    r"|deploy|webhook|(?:deploy|build|release)hook|^hook|hook$|trigger(?:build|workflow|pipeline|run)"
)
# Services where whatever is written is published, by the name of the tool or of its server.
_SERVICES: Final = (
    r"slack|discord|telegram|whatsapp|mattermost|rocketchat|msteams|twitter|mastodon|bluesky|linkedin|reddit|facebook|instagram|jira|"
    r"confluence|zendesk|trello|asana|linear|notion|github|gitlab|bitbucket|intercom|twilio|pushover|pagerduty|vercel|netlify|"
    r"airtable|sentry|google(?:docs?|sheets?|drive|calendar|chat)|gdrive|gdocs|hubspot|salesforce|zapier|n8n|monday|clickup|basecamp|todoist|"
    r"miro|figma|wordpress|substack|dropbox|onedrive|sharepoint|pastebin|gist|youtube|tiktok|datadog|opsgenie|mailchimp|stripe|shopify"
)
PUBLISHING_SERVICE: Final = re.compile(_SERVICES)
WRITES: Final = re.compile(rf"^(?:{_SERVICES})?(?:{_SAYS}|save|run|share|invite|execute)|{_SAYS}$|comment|upload")
READS: Final = re.compile(rf"^(?:{_SERVICES})?(?:get|list|read|search|find|view|describe|show|check|count)")
# Arguments that say to whom such a tool says it, or where; names of members are compared without separators.
TARGET_KEYS: Final = re.compile(
    r"(?:to|cc|bcc|recipients?|channels?|chat|rooms?|users?|usernames?|screenname|handle|emails?|phone|phonenumber|attendees?|"
    r"assignees?|conversation|repo|repository|owner|org|organi[sz]ation|projects?|team|workspace|space|group|guild|server|site|hosts?|"
    r"domain|urls?|uri|endpoint|webhook|hook|target|destination|service|app|board|issue|ticket|page|parent|database|subreddit)"
    r"(?:id|ids|key|name|url|uri)?"
)
# Arguments that are scripts, whatever the tool is called; and tools that send nothing themselves: what stands in a text of theirs
# is not where they send it.
SCRIPT_KEYS: Final = frozenset(
    {
        "command", "commands", "cmd", "commandline", "script", "shellcommand", "shell", "bash", "code", "program", "python",
        "javascript", "js",
    }
)  # fmt: skip
LOCAL_TOOL: Final = re.compile(
    r"^(?:read|view|cat|grep|rg|glob|ls|list|find|task|agent|subagent|dispatch|todo|(?:update)?plan|think|sequentialthinking|ask|"
    r"exitplanmode|attemptcompletion|memory|(?:add|create|save|store|update)memor|remember|(?:take|add|save|write)?notes?$|"
    r"(?:run|execute|exec)?(?:sql|query))"
)
# Arguments that name a host or, the last, somebody who is written to.
HOST_KEYS: Final = re.compile(
    r"(?:\w{0,16}(?:host|hostname|server|domain|endpoint|url|uri|webhook|hook|proxy|address|target|destination|to|cc|bcc|recipients?))"
)
BARE_HOST: Final = re.compile(r"\s*(?:[\w.+%-]{1,64}@)?([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})\.?(?::[0-9]{1,5})?\s*")
# An argument that is an address as a whole: where the other arguments of a tool whose name tells nothing go. Or one that stands in
# an argument of one short line.
WHOLE_URL: Final = re.compile(r"\s*<?(?:(?!file:)[a-z][a-z0-9+.-]{0,31}:)?[/\\]{2}[^\s/\\][^\s]*\s*", re.IGNORECASE)
WHOLE_BARE_URL: Final = re.compile(r"\s*([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})(?::[0-9]{1,5})?[/?#][^\s]*\s*")
NAMED_URL: Final = re.compile(
    r"[^\n]{0,300}?(?:\b(?!file:)[a-z][a-z0-9+.-]{1,31}:[/\\]{2}|\bwww\.)[^\n]{0,300}", re.IGNORECASE
)
SEPARATORS: Final = re.compile(r"[\s_.\-/:]+")

_MODULES: Final = (
    "requests|httpx|aiohttp|urllib3?|http|socket|ssl|smtplib|ftplib|telnetlib|paramiko|pycurl|websockets?|httplib2?|xmlrpc|poplib|"
    "imaplib|nntplib|socketserver|grpc|boto3|botocore|fabric|tornado|twisted|treq|pika|redis|pymysql|psycopg2?|asyncpg|pymongo|MySQLdb|"
    "mysql|dns|scapy|zmq|webbrowser"
)
_PACKAGES: Final = (
    r"https?|http2|net|tls|dgram|dns|undici|axios|node-fetch|got|ws|request|superagent|needle|"
    r"socket\.io-client|nodemailer"
)
# A word of a script that reaches the network. Where one stands, all placeholders of the script are judged.
NETWORK_COMMAND: Final = re.compile(
    r"(?<![\w-])(?:"
    r"curl|wget|aria2c|axel|httpie|lynx|w3m|ncat|netcat|nc|socat|telnet|ssh|scp|sftp|rsync|ftp|tftp|lftp|rclone|sshpass|mosh|"
    r"dig|nslookup|drill|ping6?|traceroute|tracepath|mtr|whois|getent|resolvectl|fping|nmap|"
    r"sendmail|mailx|mutt|msmtp|swaks|openssl\s+s_client|websocat|grpcurl|mosquitto_pub|"
    r"aws\s+s3|gsutil|s3cmd|npm\s+publish|twine|gh\s+(?:api|gist|issue|pr|release)|glab\s+(?:api|issue|mr|snippet)|"
    r"az\s+storage|gcloud\s+storage|(?:docker|podman)\s+push|dotnet\s+nuget\s+push|nuget\s+push|ipfs\s+add|croc\s+send|wormhole\s+send|"
    # More ways to a shell elsewhere, to a file server, a name server, a queue.
    r"autossh|dbclient|pscp|psftp|plink|ssh-copy-id|ssh-keyscan|rsh|rlogin|rexec|xfreerdp|vncviewer|smbclient|smbmap|rpcclient|crackmapexec|"
    r"showmount|mount\s+-t\s+(?:nfs|cifs|smbfs|davfs)|net\s+use|psexec|wmic\s+/node|snmp(?:get|set|walk|trap)|logger\s+-n|sqlplus|"
    r"hping3|arping|delv|kdig|doggo|systemd-resolve|avahi-resolve|curlie|cloudflared|frpc|"
    r"etcdctl|consul\s+kv|nats\s+(?:pub|req)|kcat|kafkacat|kafka-console-producer|ansible(?:-\w+)?\s+-i|salt-ssh|"
    r"elinks|webbrowser|"
    r"invoke-command|enter-pssession|new-pssession|send-mailmessage|tnc|(?:powershell|pwsh)(?:\.exe)?\s+-e(?:nc\w*|c)?|net\.(?:dns|webrequest|http\w*|mail)|"
    r"invoke-webrequest|invoke-restmethod|iwr|irm|start-bitstransfer|bitsadmin|certutil|test-netconnection|resolve-dnsname|test-connection|"
    r"requests\.\w+|httpx\.\w+|aiohttp|urllib\w*|http\.client|httplib2?|smtplib|ftplib|socket\.\w+|telnetlib|paramiko|pycurl|websockets?|"
    r"axios|xmlhttprequest|net/http|open-uri|https?\.(?:get|request)|net\.(?:connect|createconnection|webclient|sockets|dial\w*)|dns\.\w+|"
    r"gethostby\w+|getaddrinfo|lwp|file_get_contents|fsockopen|curl_\w+|xdg-open|sensible-browser|"
    r"open_connection|create_connection|create_datagram_endpoint|stream_socket_client|stream_context_create|soapclient|"
    r"io::socket\w*|(?:net|www|http)::\w+|use\s+socket|\w*socket\.(?:new|open|tcp)|(?:tcp|udp|ssl|web)socket|faraday|httparty|restclient|"
    r"eventsource|httpclient|urlconnection|java\.net|net\.http|ldapsearch|"
    # Other spellings of the same: what is read from elsewhere, or put together, and then run.
    r"__import__|importlib|eval|base64\s+(?:-\w*d\w*|--decode)|xxd\s+-r"
    r")(?![\w-])"
    rf"|\b(?:from\s+|import\s+(?:[\w.]+(?:\s+as\s+\w+)?\s*,\s*)*)(?:{_MODULES})(?![\w-])"
    rf"|\b(?:require|import|from)\s*\(?\s*['\"`](?:node:)?(?:{_PACKAGES})['\"`/]"
    r"|\s-(?:rsocket|rnet|ropen-uri|MIO::|MSocket|MLWP|MHTTP|MNet)|\bsendbeacon\b|/inet/(?:tcp|udp)/"
    # A share of Windows, and the name of a command with a wildcard in it.
    r"|(?:^|[\s\"'=])\\\\[a-z0-9][\w.-]+\\[\w$\0]"
    r"|(?:^|[;|&(]\s*|\bsudo\s+)[\w./-]*(?:[\w/][?*][\w?*./-]*\w|\w\[[\w!^-]+\]\w+)(?=[ \t]+[^\s=])"
    r"|\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b|(?:^|[;|&]\s*|\bsudo\s+)['\"]?(?:\$[\w{(]|`)"
    # Words of prose too: only where a command begins.
    r"|(?:^|[|;&(`]\s*|\bsudo\s+)(?:mail|host|links|mc|http|https|open|start|xh|dog|salt|finger|talk|putty|firefox|chromium(?:-browser)?|"
    r"google-chrome(?:-stable)?|chrome|msedge|hurl|siege|vegeta|wrk|ngrok|chisel)\s"
    r"|\bfetch\(|/dev/(?:tcp|udp)/|\bgit\s[^\n;|&]{0,400}?(?:[a-z+]+://|\w@[\w.-]+:)"
    r"|\bgit\s+(?:push|fetch|pull|clone|remote|ls-remote|archive|submodule)\s(?:[^\n;|&]{0,400}?\s)?[\w.-]+:[^\s:]{0,80}\0",
    re.IGNORECASE | re.MULTILINE,
)
# What a shell would still replace: where it stands beside a network command the destination is not known.
EXPANSION: Final = re.compile(r"\$[A-Za-z_({0-9@*]|`|<\(|\beval\b|\bbase64\b|\bxxd\b|\bprintf\b|\bxargs\b|%[A-Za-z_]+%")

# Where the host of a URL begins: behind two slashes (after `http:` browsers take one), or at `www.`; what stands before them is
# looked at backwards.
URL_START: Final = re.compile(r"[/\\]{2,}|(?:(?<=http:)|(?<=https:))[/\\]|(?<![\w.])www\.", re.IGNORECASE)
QUOTED_URL: Final = re.compile(
    r"(?:[\"'<`]|\]\([ \n]{0,4})(?:(?:[a-z][a-z0-9+.-]{0,31}:)?[/\\][\t\r\n]*[/\\]+|https?:[/\\]|(?=www\.))",
    re.IGNORECASE,
)
# What a page's addresses are relative to, or what it sends what is typed to: all that follows goes there.
PAGE_TARGET: Final = re.compile(
    r"<(?:base|form)\b[^>]{0,400}?\b(?:href|action)\s*=\s*[\"']?(?:[a-z][a-z0-9+.-]{0,31}:)?[/\\]{2,}", re.IGNORECASE
)
# Addresses that a click writes to, with what is already filled in.
WRITE_TO: Final = re.compile(r"(?<![\w+.-])(?:mailto|xmpp|sips?|sms(?:to)?|im):", re.IGNORECASE)
ADDRESS: Final = re.compile(r"[\w.+%-]{1,64}@((?:[a-z0-9-]{1,63}\.)*[a-z0-9-]{1,63})", re.IGNORECASE)
SCHEME: Final = re.compile(r":[a-z0-9+.-]{0,31}[a-z]", re.IGNORECASE)  # backwards
BARE_URL: Final = re.compile(
    r"(?<![\w@./\\-])(?:[a-z0-9](?:[a-z0-9-]{0,62})\.){1,8}[a-z]{2,24}(?::[0-9]{1,5})?(?=[/?#])", re.IGNORECASE
)
_NAME = r"(?<![\w.-])(?:(?:[a-z0-9](?:[a-z0-9-]{0,62})\.){1,8}"
_ADDRESS = r"|(?:[0-9]{1,3}\.){3}[0-9]{1,3})(?![\w(-]|\.\w)"
# Beside a network command every name with a dot is a host that has not the ending of a file.
HOST_IN_COMMAND: Final = re.compile(
    _NAME + r"(?!(?:py|js|ts|sh|txt|json|md|log|csv|ya?ml|toml|html?|xml|conf|cfg|ini|env|pem|key|crt|"
    r"zip|gz|tgz|tar|rs|go|java|rb|c|h|cpp|lock|sql|db|bak|tmp|out|png|jpg|pdf)(?![\w-]))[a-z][a-z0-9-]{1,23}"
    + _ADDRESS,
    re.IGNORECASE,
)
# Elsewhere those under a known top-level domain (the IANA root zone's country codes and the generic ones in wide use, and the
# reserved ones of RFC 2606 and RFC 6762), without those that are endings of files or attributes of objects before all.
HOST_ANYWHERE: Final = re.compile(
    _NAME
    + r"(?:com|org|net|edu|gov|mil|int|info|biz|pro|mobi|xyz|online|site|website|tech|store|shop|app|dev|page|cloud|live|top|icu|"
    r"club|fun|space|hosting|click|works|world|today|life|network|systems|solutions|digital|agency|media|news|blog|"
    r"wiki|chat|zone|win|vip|buzz|bar|art|design|studio|ninja|guru|rocks|sbs|cfd|quest|monster|cyou|bond|finance|bank|"
    r"example|invalid|localhost|local|internal|intranet|corp|lan|home|onion|arpa|goog|google|amazon|aws|azure|xn--[a-z0-9-]{2,20}|"
    r"ad|ae|af|ag|ai|al|ao|aq|ar|at|au|aw|ax|az|ba|bb|bd|be|bf|bg|bh|bi|bj|bm|bn|bo|br|bs|bt|bw|by|bz|ca|cd|cf|cg|ch|ci|ck|cl|cm|cn|"
    r"co|cr|cu|cv|cw|cx|cy|cz|de|dj|dk|dm|dz|ec|ee|eg|er|es|et|eu|fi|fj|fk|fm|fo|fr|ga|gd|ge|gf|gg|gh|gi|gl|gm|gn|gp|gq|gr|gs|gt|gu|"
    r"gw|gy|hk|hm|hn|hr|ht|hu|ie|il|im|in|io|iq|ir|it|je|jm|jo|jp|ke|kg|kh|ki|km|kn|kp|kr|kw|ky|kz|la|lb|lc|li|lk|lr|ls|lt|lu|lv|ly|"
    r"ma|mc|me|mg|mh|mm|mn|mo|mp|mq|mr|ms|mt|mu|mv|mw|mx|my|mz|na|nc|ne|nf|ng|ni|nl|np|nr|nu|nz|om|pa|pe|pf|pg|ph|pk|pm|pn|pr|pt|pw|"
    r"qa|re|ro|ru|rw|sa|sb|sc|sd|se|sg|si|sj|sk|sl|sm|sn|sr|ss|st|su|sv|sx|sy|sz|tc|td|tg|th|tj|tk|tl|tm|tn|to|tr|tt|tv|tw|tz|ua|ug|"
    r"uk|us|uy|uz|va|vc|ve|vg|vn|vu|wf|ws|ye|yt|za|zm|zw)" + _ADDRESS,
    re.IGNORECASE,
)
# Options and arguments that name a host, with a dot in it or without.
HOST_OPTION: Final = re.compile(
    r"(?:(?<![\w-])\w*_proxy=|(?<![\w-])--(?:host(?:name)?|server|endpoint(?:-url)?|url|base-url|index-url|extra-index-url|registry|proxy|addr(?:ess)?|uri|remote|"
    r"connect|target|broker|apiserver|master)[ =]+"
    r"|(?<![\w-])(?:mysql\w*|mariadb(?:-\w+)?|psql|pg_\w+|redis-cli|mongo\w*|sqlcmd|clickhouse-client|cqlsh|influx|mosquitto_\w+|amqp-\w+|"
    r"createdb|dropdb|memcached-tool|ldap\w+|impala-shell|beeline|vsql|isql)\s(?:[^\n;|&]{0,300}?\s)?-[hHS][ =]*"
    r"|(?<![\w-])(?:docker|podman|helm|skopeo|buildah|crane|oras)(?:\s+registry)?\s+login\s+(?:-\S+\s+\S+\s+){0,8}(?=[^\s-]))"
    r"[\"']?([^\s\"'`;|&<>)]+)",
    re.IGNORECASE,
)
NOT_HOSTS: Final = re.compile(
    r"(?i)^(?:requests|httpx|urllib3?|http|https?|aiohttp|socket|smtplib|os|sys|json|re|path|console|math|axios|document|window|net|dns|response|"
    r"resp|res|req|self|this|np|pd|subprocess|base64|hashlib|np|client|session|print|data|r|f|p|x|e|app|module|process|fs|object|array|string)\."
)
