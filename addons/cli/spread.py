"""Options that take as many words as come, for a parser that knows none."""

from collections.abc import Sequence


def spread(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """`NAME --models a b --rate …` as if each word had been given with its option: `--models a --models b`.

    Only where the name comes first: behind such an option it could not be told from another word.
    """
    if not arguments or arguments[0].startswith("-"):
        return list(arguments)
    made, option = [arguments[0]], ""
    for word in arguments[1:]:
        if word.startswith("-"):
            option = word if word in options else ""
            made.append(word)
        elif option and made[-1] != option:
            made += [option, word]
        else:
            made.append(word)
    return made
