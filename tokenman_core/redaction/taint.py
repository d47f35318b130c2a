"""What variables and files hold: a value that one call puts there, a later one may send out by the mere name."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from tokenman_core.redaction.calls import Argument, argument, call_of
from tokenman_core.redaction.egress import is_script, scripts, tool_class
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.slots import Slot

_NAME: Final = r"[A-Za-z_]\w{0,63}"
_QUOTE: Final = r"\\*[\"']"
_BEFORE: Final = 320  # characters before a value in which what it is put into may stand
_MOST: Final = 256  # names, of variables and of files
_MOST_HELD: Final = 16  # values that one of them is known to hold
_MOST_READ: Final = 512 * 1024  # characters of earlier calls that are read, the newest first

# `K=…`, `export K="…"`, `$env:K = …`, `environ["K"] = …`, `process.env.K = …`, `K := …`, `export K2="$OTHER …"`: all names that
# an equals sign follows.
_ASSIGNED: Final = re.compile(
    rf"(?<!\w)(?:\$\{{?(?:env|global|script|local|private|using|variable):)?(?P<name>{_NAME})\}}?"
    rf"(?:{_QUOTE}\])?(?:[ \t]*:[ \t]+{_NAME})?"
    r"[ \t]*[:+?|]{0,2}=(?!=)",
    re.IGNORECASE,
)
# `set -gx K …`, `read K <<< …`, `putenv("K", …)`, `Set-Item Env:K …`: of these all words up to the value.
_SET: Final = re.compile(
    r"\b(?:set|setx|setenv|read|printf[ \t]+-v|putenv|setdefault|setattr|update|set-item|new-item|set-content|set-variable|sv|"
    r"setenvironmentvariable|launchctl|declare|typeset|mapfile|readarray)\b",
    re.IGNORECASE,
)
# `for K in …`; `set -- …`, whose words are `$1` and so on, all of them under one name here.
_LOOP: Final = re.compile(rf"(?<![\w-])(?:for|foreach|select)[ \t(]+\$?({_NAME})[ \t]+in\b")
_PLACES: Final = re.compile(r"(?<![\w-])set[ \t]+(?:-\w+[ \t]+){0,8}--?[ \t]")
_PLACE: Final = re.compile(r"\$(?:[1-9@*]|\{[1-9@*][^}\n]{0,80}\})")
_OWN: Final = re.compile(
    rf"^[ \t]*(?:(?:const|let|var|for)[ \t]+)?(?P<names>{_NAME}(?:[ \t]*,[ \t]*{_NAME}){{0,8}})"
    r"(?:[ \t]+(?:in|of)\b|\.(?:append|add|extend|insert|update|push|unshift|set|write|setdefault)\("
    r"|(?:\[[^\]\n]{0,80}\])?[ \t]*[+|]?=(?!=))"
)  # what a line of a program puts something into
_OF_PROGRAM: Final = re.compile(r"^\w+(?:[ \t]*:[ \t]*\w+)?[ \t]+=\Z")
_WORD: Final = re.compile(_NAME)
_WORDS: Final = re.compile(r"[a-z_]\w*")
_SHORT: Final = 4096  # characters
_CUT: Final = re.compile(r"[\n;]")
_GOES_ON: Final = re.compile(
    r"python|node|repl|code|javascript|eval|notebook|jupyter", re.IGNORECASE
)  # tools whose variables stay

_NOT_POSIX: Final = re.compile(r"power|pwsh|cmd", re.IGNORECASE)  # shells whose `$_` is another thing
_FORMS: Final = 64  # different patterns of files in one script; of more, each fits all

# How shells, PowerShell and cmd name a variable, and how programs name one of the environment. A colon may stand behind a scope
# (`$env:K`), or behind the variable.
_USED: Final = re.compile(
    rf"\$\{{[#!]?(?:(?P<s1>\w{{1,16}}):)?(?P<n1>{_NAME})[^}}\n]{{0,80}}\}}"
    rf"|\$(?!(?:_?ENV|_SERVER)[\[{{])(?:(?P<s2>\w{{1,16}}):(?=\w))?(?P<n2>{_NAME})|[%!](?P<n3>{_NAME})[%!]"
    r"|(?:\bprintenv[ \t]+"
    r"|\b(?:[gG]etenv|LookupEnv|GetEnvironmentVariable|env::var|env\.get|environ\.pop|ENV\.(?:fetch|dig|values_at))\("
    rf"\s*{_QUOTE}|\benviron(?:\.get\(\s*|b?\[\s*b?){_QUOTE}|\benv(?:\.|\[\s*{_QUOTE})|\b_?(?:ENV|ENVIRON|SERVER)\[\s*{_QUOTE}|\$ENV\{{(?:{_QUOTE})?)(?P<n4>{_NAME})(?:(?:{_QUOTE})?\s*[\])}}])?"
)
# A variable of a program, where the next call goes on with the same interpreter: not where it is given another value.
_BARE: Final = re.compile(rf"(?<![\w.$\"'/-])(?P<n1>{_NAME})(?![\w\"'(/-]|[ \t]*=(?!=))")

# All variables at once.
_MAY_BE_ALL: Final = re.compile(r"env|set|export|declare|typeset|\$\{!")
_ALL: Final = re.compile(
    r"(?:^|(?<=[\s;|&(`]))(?:env|printenv|set|export|(?:export|declare|typeset)[ \t]+-\w*[px]\w*|compgen[ \t]+-v)"
    r"(?=[ \t]*(?:[|>;&)`\n]|\Z|-0))|/proc/(?:self|\$\$|[0-9]+)/environ|\b(?:get-childitem|gci|dir|ls)[ \t]+env:"
    r"|\$\{![a-z_]\w{0,63}[*@]?\}|\bdict\(os\.environ\)|\b(?:os\.environ|process\.env)\b(?![.\[])|\bENV\.(?:to_h|inspect|map|each)",
    re.IGNORECASE,
)
# Where a script writes to: `> f`, `tee f`, `of=f`, `Out-File f`, `open("f", "w")`, `-o d/f`.
_PATH: Final = r"[\w.~/\\$:{}-]{1,255}"
_WRITTEN: Final = re.compile(
    r"(?:(?:(?<![=<>-])>{1,2}[|!]?[ \t]*|\btee\b(?:[ \t]+-{1,2}\w+)*[ \t]+|\bof="
    r"|\b(?:out-file|set-content|add-content|export-csv)\b(?:[ \t]+-\w+)*[ \t]+)[\"']?|\b(?:open|path|file)\([ \t]*[\"'`]"
    r"|(?:\bwrite\w{0,16}\([ \t]*[\"'`]|(?<![\w-])(?:-o|--out\w*)[ \t=]*[\"']?)(?=\w*[./]))"
    rf"(?P<path>{_PATH})(?=[\s;|&)\"'`,]|\Z)",
    re.IGNORECASE,
)
# Commands that make files of files: all that is named beside them may hold the same.
_COPIES: Final = re.compile(
    r"(?<![\w-])(?:cp|mv|ln|install|dd|tar|zip|7z|gzip|bzip2|xz|zstd|split|openssl|gpg|age|copy-item|move-item|compress-archive|copy|move)\s",
    re.IGNORECASE,
)
# Commands that change files where they lie, and that lay down settings: under which name, and in which files.
_IN_PLACE: Final = re.compile(
    r"(?<![\w-])(?:g?sed|perl|ruby|yq)[ \t](?:[^\n;|&'\"]{0,200}?[ \t])?(?:-[a-zA-Z]{0,8}i|--in-?place)"
    r"|(?<![\w-])(?:sponge|crudini)[ \t]"
)
_SHELL_WORD: Final = re.compile(r"'[^'\n]*'|\"(?:[^\"\\\n]|\\.)*\"|[;|&\n]|[^\s'\";|&]+")
_FILE_WORD: Final = re.compile(r"(?![sy]/|-)[\w.~$-]{1,128}(?:/[\w.~-]{1,128}){0,32}|/[\w.~/-]{1,250}[\w~-]")
_SETTING: Final = re.compile(
    r"(?<![\w-])(?P<tool>git|npm|pnpm|yarn|pip3?|poetry|composer|aws)[ \t]+(?:-\S+[ \t]+){0,4}"
    r"config(?:ure)?[ \t](?P<words>[^\n\[]{0,200})"
)
_SETTINGS: Final = {
    "git": (".gitconfig",), "npm": (".npmrc",), "pnpm": (".npmrc",), "yarn": (".yarnrc", ".yarnrc.yml"),
    "pip": ("pip.conf", "pip.ini"), "pip3": ("pip.conf", "pip.ini"), "poetry": ("auth.toml",), "composer": ("auth.json",),
    "aws": ("credentials",),
}  # fmt: skip
# Commands that take along what they do not name: a folder, all that a pattern fits. Of some the last word is where to.
_TAKES: Final = re.compile(
    r"(?<![\w./-])(?P<command>(?P<to>scp|rsync|rclone|gsutil|(?:aws|gcloud|az)[ \t]+s\w+|(?:docker|kubectl|podman)[ \t]+cp)"
    r"|tar[ \t]+(?:-?[a-zA-Z]{0,8}c|--create)|zip|7z[ \t]+a"
    r"|git[ \t]+(?:add|stash|archive|bundle|commit(?=[ \t]+-(?:\w{0,4}a|-all)))|(?P<shows>cat|curl))"
    r"(?=[\w \t])(?P<words>[^\n;|&]{1,2000})"
)
_BLANKS: Final = re.compile(r"([ \t]+)")
_WILD: Final = re.compile(r"[*?\[\]{},]+")
_EVERYTHING: Final = frozenset({".", "./", "-A", "--all", "-am", "-a"})
_OF_ALL: Final = frozenset({".", "./"})  # where it is no option of git
_TAG: Final = re.compile(r"(?<!<)<(?:[/!][^<>]*|\w(?:[^<>]*[^<>\s])?)\Z")
_TOKEN: Final = re.compile(r"[\w.~/\\-]{1,255}")
# What a command says to people names files and sends none.
_PROSE: Final = (
    r"(?<![\w-])(?:--(?:title|body|message|notes|description|subject|comment)|-[mtb])[ \t=]+"
    r"(?:\"[^\"$`\\ ]{1,256} [^\"$`\\]{0,4096}\"|'[^'$` ]{1,256} [^'$`]{0,4096}')"
)
_NAMED: Final = re.compile(rf"{_PROSE}|{_TOKEN.pattern}")
_PATHS: Final = re.compile(r"\s*(?:@|file:)?[\w.~/\\:-]{1,255}\s*")  # an argument that is a path and nothing else
_PLAIN_FILE: Final = re.compile(r"(?![.\d]*\Z)(?!-)[\w.-]{1,128}")
_NO_FILES: Final = frozenset({"null", "stdout", "stderr", "stdin", "tty", "eof", "to", "the", "in"})
_CONTENT: Final = re.compile(
    r"(?:\$\((?:[ \t]*cat[ \t]+|[ \t]*<[ \t]*)|`cat[ \t]+)[\"']?(\[[A-Z][A-Z0-9_ \[\]a-f]*\])[\"']?[ \t]*[)`]"
)
_PATH_KEYS: Final = re.compile(r"(?:file|path|filename|uri)\Z", re.IGNORECASE)
_PATCHED: Final = re.compile(r"^(?:\*\*\* (?:Add|Update) File: |\+\+\+ (?:b/)?)([^\n]{1,255})", re.MULTILINE)


Name = tuple[str, str, str]
"""What is named ("variable", "own" for one of a running interpreter, "file", "folder"), how, placeholders with blanks between."""


class Tainted:
    """Which names stand for which placeholders, as the calls of a conversation have put them there, in their order."""

    def __init__(self) -> None:
        self._variables: dict[str, str] = {}  # placeholders with blanks between, by names in lower case
        self._own: set[str] = set()  # of those the names of a program's own variables
        self._files: dict[str, str] = {}  # by the last part of their path
        self._folders: dict[str, str] = {}  # in which they lie, by each part of that path
        self._fits: dict[str, str] = {}  # by patterns that were asked for, as long as no file is added

    def copy(self) -> "Tainted":
        """Another one that goes on from here."""
        other = Tainted()
        other._variables, other._own, other._files = dict(self._variables), set(self._own), dict(self._files)
        other._folders = dict(self._folders)
        return other

    def __bool__(self) -> bool:
        return bool(self._variables or self._files)

    def names(self) -> tuple[Name, ...]:
        """All of it, to be remembered."""
        variables = [("own" if name in self._own else "variable", name, held) for name, held in self._variables.items()]
        places = (("file", self._files), ("folder", self._folders))
        return (*variables, *((kind, name, held) for kind, names in places for name, held in names.items()))

    def take_up(self, names: Iterable[Name]) -> None:
        """What was remembered of calls before these."""
        self._fits.clear()
        kinds = {"file": self._files, "folder": self._folders}
        for kind, name, held in names:
            _put(kinds.get(kind, self._variables), name, *held.split(" "))
            if kind == "own":
                self._own.add(name)

    @property
    def placeholders(self) -> frozenset[str]:
        """What the names stand for."""
        return frozenset(
            each for held in (*self._variables.values(), *self._files.values()) for each in held.split(" ")
        )

    def call(self, tool: str, call: Sequence[Argument]) -> None:
        """Take up what a call puts into variables and files; its placeholders are in their own form."""
        kind = tool_class(tool)
        if kind == "write":
            self._wrote(call)
        for text in scripts(kind, call):
            own = _GOES_ON.search(tool) is not None
            found = PLACEHOLDER.findall(self.take(text, own))
            if found and not own and _NOT_POSIX.search(tool) is None:
                _put(self._variables, "_", *found[-_MOST_HELD:])

    def take(self, script: str, own: bool = False) -> str:
        """The same of a script, which is returned with the placeholders that its names stood for; `own`: the next one goes on in
        the same interpreter, with the variables of this one.
        """
        if PLACEHOLDER.search(script) is None and self.shown(script, own) == script:
            return script
        for statement in _CUT.split(script):
            said = self.shown(statement, own)
            self._statement(said, own)
            if said != statement and (match := _COPIES.search(statement)) is not None:
                paths = _TOKEN.findall(statement, match.end())
                self._write(paths[match[0].lower().startswith("tar") :], said)
        said = self.shown(script, own)
        for line in said.split("\n"):
            self._line(line)
        if PLACEHOLDER.search(said) is not None:
            written = [match["path"] for match in _WRITTEN.finditer(script) if not _in_tag(script, match.start())]
            self._write([*written, *(match[1] for match in _PATCHED.finditer(script))], said)
        return said

    def _wrote(self, call: Sequence[Argument]) -> None:
        """A file that a tool writes, and what a shell that reads it has in variables."""
        said = "\n".join(text for _, text in call)
        if PLACEHOLDER.search(said) is None:
            return
        paths = [text for key, text in call if len(text) <= 255 and _PATH_KEYS.search(key) is not None]
        self._write([*paths, *(match[1] for match in _PATCHED.finditer(said))], said)
        for line in said.split("\n"):
            if "[" in line:
                self._statement(line, False)

    def _line(self, line: str) -> None:
        """Files that a line of a shell changes where they lie, and settings that it makes."""
        if (first := PLACEHOLDER.search(line)) is None:
            return
        behind = 0
        for match in _IN_PLACE.finditer(line):
            if match.start() < behind:
                continue
            words: list[str] = []
            for word in _SHELL_WORD.finditer(line, match.end()):
                behind = word.end()
                if word[0] in ";|&\n":
                    break
                words.append(word[0].strip("'\""))
            self._write([each for each in words if _FILE_WORD.fullmatch(each) is not None], line)
        for match in _SETTING.finditer(line, 0, first.start()):
            keys = [each for each in match["words"].split() if "." in each.strip(".") or "_" in each]
            self._write([*keys, *_SETTINGS[match["tool"]]], line)

    def _statement(self, script: str, own: bool) -> None:
        found = [(match.start(), match[0]) for match in PLACEHOLDER.finditer(script)]
        if not found:
            return
        starts = [start for start, _ in found]
        for match in _ASSIGNED.finditer(script, 0, starts[-1]):
            start, placeholder = found[bisect_left(starts, match.end())]
            if start - match.end() <= _BEFORE:
                _put(self._variables, match["name"].lower(), placeholder)
                if own and _OF_PROGRAM.search(match[0]):
                    self._own.add(match["name"].lower())
        last = " ".join(dict.fromkeys(placeholder for _, placeholder in found[-_MOST_HELD:]))
        if own and (put := _OWN.match(script)) is not None:
            for name in _WORD.findall(put["names"]):
                _put(self._variables, name.lower(), *last.split(" "))
                self._own.add(name.lower())
        for match in _LOOP.finditer(script, 0, starts[-1]):
            _put(self._variables, match[1].lower(), *last.split(" "))
        if not own and _PLACES.search(script, 0, starts[-1]) is not None:
            _put(self._variables, "@", *last.split(" "))
        behind = 0
        for match in _SET.finditer(script, 0, starts[-1]):
            start, placeholder = found[bisect_left(starts, match.end())]
            if match.end() >= behind and start - match.end() <= _BEFORE:
                behind = start
                for name in _WORD.findall(script, match.end(), start):
                    _put(self._variables, name.lower(), placeholder)

    def _write(self, paths: Iterable[str], said: str) -> None:
        """Files hold the placeholders of a text."""
        held = list(dict.fromkeys(PLACEHOLDER.findall(said)))[:_MOST_HELD]
        for path in paths:
            name = _last(path)
            if _PLAIN_FILE.fullmatch(name) and name not in _NO_FILES:
                self._fits.clear()
                _put(self._files, name, *held)
                for folder in path.replace("\\", "/").lower().split("/")[:-1][-8:]:
                    if _PLAIN_FILE.fullmatch(folder):
                        _put(self._folders, folder, *held)

    def of_call(self, tool: str, call: Sequence[Argument]) -> list[str]:
        """The texts of a call with the placeholders in place of the names that stand for them there."""
        kind, own = tool_class(tool), _GOES_ON.search(tool) is not None
        return [
            self.shown(text, own)
            if is_script(kind, key)
            else self.shown(text, variables=False)
            if _PATHS.fullmatch(text) is not None
            else text
            for key, text in call
        ]

    def shown(self, script: str, own: bool = False, variables: bool = True) -> str:
        """The script with the placeholders in place of the names that stand for them; `variables`: of those too."""
        lower = script.lower() if self else ""
        if variables and _any_of(self._variables, lower):
            script = _USED.sub(self._instead, script)
            if own and self._own:
                script = _BARE.sub(
                    lambda match: self._instead(match) if match[0].lower() in self._own else match[0], script
                )
        if variables and "@" in self._variables and "$" in script:
            script = _PLACE.sub(self._variables["@"], script)
        if variables and self._variables and _MAY_BE_ALL.search(lower) is not None:
            script = _ALL.sub(lambda match: self._all(), script)
        if self._files and _TAKES.search(script) is not None:
            script = _TAKES.sub(self._taken, script)
        if any(name in lower for name in self._files):
            script = _NAMED.sub(self._content, script)
            script = _CONTENT.sub(r"\1", script)
        return script

    def _all(self) -> str:
        held = dict.fromkeys(each for held in self._variables.values() for each in held.split(" "))
        return " ".join([*held][:_MOST_HELD])

    def _taken(self, match: re.Match[str]) -> str:
        """A command that takes files along, with what they hold in place of the folder or the pattern that they are named by."""
        words = _BLANKS.split(match["words"])
        places = [at for at, word in enumerate(words) if word.strip()]
        sends = match["command"].lower() == "curl"
        for at in places[:-1] if match["to"] else places:
            word = words[at].strip("'\"")
            if "*" in word or "?" in word:  # the words of curl are hardly ever patterns
                if not sends or words[at].startswith("-T") or words[max(0, at - 2)] in ("-T", "--upload-file"):
                    words[at] = self._fitting(_last(word)) or words[at]
            elif word in (_EVERYTHING if match["command"].startswith("git") else _OF_ALL):
                words[at] = words[at] if match["shows"] else self._fitting("*")
            elif not match["shows"]:
                words[at] = self._folders.get(_last(word), words[at])
        return match[0][: match.start("words") - match.start()] + "".join(words)

    def _fitting(self, pattern: str) -> str:
        """What all files hold that a pattern fits; for speed it may fit more than a shell's."""
        seen = self._fits
        if len(seen) >= _FORMS and pattern not in seen:
            pattern = "*"
        if pattern not in seen:
            parts = [each for each in _WILD.split(pattern.removeprefix("-t")) if each]
            held = [each for name, each in self._files.items() if all(part in name for part in parts)]
            seen[pattern] = " ".join([*dict.fromkeys(" ".join(held).split())][:_MOST_HELD])
        return seen[pattern]

    def _content(self, match: re.Match[str]) -> str:
        named = match[0]
        if named.startswith("//") or " " in named:
            return named  # the path of a URL, or prose
        option = named[2:] if named.startswith("-") else ""  # `-Tf`
        return self._files.get(_last(named)) or self._files.get(_last(option)) or named

    def _instead(self, match: re.Match[str]) -> str:
        groups = match.groupdict()
        for number in "1234":
            name, scope = groups.get(f"n{number}"), groups.get(f"s{number}")
            if name and (held := self._variables.get(name.lower())):
                return held
            if scope and (held := self._variables.get(scope.lower())):
                return f"{held}:{name}"
        return match[0]


def _put(names: dict[str, str], name: str, *placeholders: str) -> None:
    """What a name holds last stands first; what it held before, it may still."""
    if len(names) < _MOST or name in names:
        held = dict.fromkeys((*placeholders, *filter(None, names.get(name, "").split(" "))))
        names[name] = " ".join(list(held)[:_MOST_HELD])


def _any_of(names: dict[str, str], lower: str) -> bool:
    """Whether one of the variables is named in a text, for speed: in most none is."""
    if len(lower) > _SHORT:
        return any(name in lower for name in names)
    return bool(names) and not names.keys().isdisjoint(_WORDS.findall(lower))


def _last(path: str) -> str:
    """The last part of a path, in lower case."""
    return path.replace("\\", "/").rstrip("/.:}").rpartition("/")[2].lower()


def _in_tag(text: str, at: int) -> bool:
    """Whether an angle bracket at a place closes a tag that is open in its line."""
    line = text[max(0, at - 400) : at].rpartition("\n")[2]
    return _TAG.search(line) is not None


def _call(slot: Slot) -> tuple[str, object]:
    return slot.tool, call_of(slot)


def calls_with_values(slots: Sequence[Slot], every: bool = False) -> list[Slot]:
    """The calls in a request from the first one on that holds a value (`every`: all), of the newest that are read."""
    left = _MOST_READ
    read: list[Slot] = []
    first = 0  # of those that hold a value, the last in this list
    for slot in reversed(slots):
        if slot.kind == "tool_input" and slot.tool:
            left -= len(slot.text)
            if left < 0:
                break
            read.append(slot)
            if every or ("[" in slot.text and PLACEHOLDER.search(slot.text) is not None):
                first = len(read)
    while 0 < first < len(read) and _call(read[first]) == _call(read[first - 1]):
        first += 1
    return read[first - 1 :: -1] if first else []


def tainted(slots: Sequence[Slot], before: Sequence[Name] = ()) -> Tainted:
    """What the calls in a request have put into variables and files; `before`: and those that it goes on with."""
    made = Tainted()
    made.take_up(before)
    for (tool, _), call in groupby(calls_with_values(slots, every=bool(before)), _call):
        made.call(tool, [argument(slot, slot.text) for slot in call])
    return made
