"""A cell of a table is judged by the heading of its column, whatever program printed it; lists of names are no tables."""

import json
import time
from collections.abc import Callable

import pytest

from tokenman_core.dialects.walk import find_slots
from tokenman_core.redaction.detectors import tables
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import gates, trips

HEADINGS = ["name", "password", "born"]
ROWS = [
    ["Ann", "kite!", "Oslo"],
    ["Bob", "lighthouse", "Rome"],
    ["Cid", "correct horse", "Bonn"],
    ["Dan", "hunter22", "Kyiv"],
]
VALUES = [row[1] for row in ROWS]


@pytest.fixture(params=range(len(gates())), ids=[type(each).__name__ for each in gates()])
def detector(request: pytest.FixtureRequest, detectors: list[Detector]) -> Detector:
    chosen: int = request.param
    return detectors[chosen]


def lines(apart: str, before: str = "", behind: str = "", rule: str = "", end: str = "\n") -> str:
    made = [before + apart.join(row) + behind for row in (HEADINGS, *ROWS)]
    return end.join([made[0], *([rule] if rule else []), *made[1:]]) + end


def quoted() -> str:
    return "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in (HEADINGS, *ROWS))


def html() -> str:
    head = "".join(f"<th>{name}</th>" for name in HEADINGS)
    body = "".join("<tr>" + "".join(f'<td class="x">{cell}</td>' for cell in row) + "</tr>\n" for row in ROWS)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def sql() -> str:
    values = ",\n  ".join("(" + ", ".join(f"'{cell}'" for cell in row) + ")" for row in ROWS)
    return f"INSERT INTO people ({', '.join(HEADINGS)}) VALUES\n  {values};"


FORMS = {
    "commas": lines(","),
    "semicolons": lines(";"),
    "tabs": lines("\t"),
    "with carriage returns": lines(",", end="\r\n"),
    "quoted": quoted(),
    "markdown": lines(" | ", "| ", " |", "|---|:--|---|"),
    "psql": lines(" | ", " ", "", "------+----------+------") + "(4 rows)\n",
    "mysql": "+------+\n" + lines(" | ", "| ", " |", "+------+------+-----+"),
    "columns of blanks": lines("    ", rule="----    --------    ----"),
    "in a patch": lines(",", "+"),
    "in a quotation": lines(",", "> "),
    "behind prose": "Here they are:\n\n" + lines(",") + "\nThank you.",
    "in a string": json.dumps({"stdout": lines(",")}),
    "in a string, to its end": json.dumps({"stdout": lines(",").rstrip("\n")}),
    "tabs in a string": json.dumps({"stdout": lines("\t")}),
    "columns and rows": json.dumps({"columns": HEADINGS, "rows": ROWS}),
    "columns and rows, indented": json.dumps({"columns": HEADINGS, "index": [0, 1], "data": ROWS}, indent=2),
    "columns in a string": json.dumps({"out": json.dumps({"columns": HEADINGS, "rows": ROWS})}),
    "columns described": json.dumps({"columns": [{"name": each, "type": "text"} for each in HEADINGS], "rows": ROWS}),
    "rows first": json.dumps({"rows": ROWS, "cols": HEADINGS}),
    "rows first, described": json.dumps({"rows": ROWS, "cols": [{"label": each} for each in HEADINGS]}),
    "the first row names them": json.dumps([HEADINGS, *ROWS]),
    "sql": sql(),
    "sql in a string": json.dumps({"q": sql().replace("\n", " ")}),
    "copy": f"COPY people ({', '.join(HEADINGS)}) FROM stdin;\n" + lines("\t").partition("\n")[2] + "\\.\n",
    "html": html(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_cell_is_told_by_its_heading(detector: Detector, form: str) -> None:
    text = FORMS[form]
    found = {
        text[each.start : each.end] for each in detector.find(text) if each.entity == "PASSWORD" and each.score >= 0.5
    }
    assert found == set(VALUES)
    assert trips(detector.gate, text)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_told_by_a_heading_that_tells_nothing(detector: Detector, form: str) -> None:
    assert not detector.find(FORMS[form].replace("password", "favourite"))


PERSONAL = ["name", "passport number", "date of birth", "phone", "account number", "ssn"]
PEOPLE = [
    [f"person {each}", f"31234567{each}", f"198{each}-03-04", f"650253000{each}", f"123456789{each}", f"21909999{each}"]
    for each in range(1, 9)
]
KINDS = ["PASSPORT", "DATE_OF_BIRTH", "PHONE_NUMBER", "BANK_NUMBER", "SSN"]


@pytest.mark.parametrize(
    "text",
    [
        ",".join(PERSONAL) + "\n" + "".join(",".join(row) + "\n" for row in PEOPLE),
        "| " + " | ".join(PERSONAL) + " |\n" + "|---" * 6 + "|\n" + "".join("| " + " | ".join(row) + " |\n" for row in PEOPLE),
        json.dumps({"columns": PERSONAL, "data": PEOPLE}),
        json.dumps({"columns": PERSONAL, "data": [[int(cell) if cell.isdigit() else cell for cell in row] for row in PEOPLE]}),
    ],
    ids=["commas", "markdown", "JSON", "JSON with numbers"],
)  # fmt: skip
def test_personal_data_is_told_by_its_heading_down_to_the_last_row(detector: Detector, text: str) -> None:
    found: dict[str, set[str]] = {}
    for each in detector.find(text):
        found.setdefault(text[each.start : each.end], set()).add(
            "PASSPORT" if "PASSPORT" in each.entity else each.entity.removeprefix("US_")
        )
    for row in PEOPLE:
        for cell, kind in zip(row[1:], KINDS, strict=True):
            assert kind in found[cell], (row, found)


@pytest.mark.parametrize(
    "text",
    [
        "from x import (\n    token, password, secret,\n    other, another, third,\n)",
        "    key,\n    passphrase,\n    rejectUnauthorized,\n    secureOptions,\n",
        "- user, password\n- host, serverport\n",
        "name, password\nhost, serverport\n",
        "\tFIRST_TOKEN,\n\tSECOND_TOKEN2,\n\tDEVICE_SEG6_TOKEN,\n",
        "syn keyword sqlOption\tSql_password\nsyn keyword sqlOption\tSql_flagger_level2\n",
        "3. Change the password........|set-password|\n4. Leave..........|netrw-quit2|\n",
        "  # Since the role has a password, callers of this\n  # routine have to set up things properly, with care\n",
        "def f(user, password):\n    return g(user, secretly)\n",
        "| Parameter | Password |\n|---|---|\n| type | string |\n| required | true |\n",
        "name,password_count\nAnn,lighthouse\n",
        '["name", "password"]\n["Ann", "lighthouse"]',
        '{"required": ["name", "password"], "tags": [["a", "b"]]}',
        "password,secret\n",
        "name,password",
    ],
    ids=lambda text: text[:24],
)
def test_what_is_no_table_tells_nothing(detector: Detector, text: str) -> None:
    assert not [each for each in detector.find(text) if each.entity in ("PASSWORD", "API_KEY")], text


def test_a_strong_value_is_believed_in_what_may_be_a_list_of_names(detector: Detector) -> None:
    text = "name, password\nann, Tr0ub4dor&3\nbob, lighthouse\n"
    assert [text[each.start : each.end] for each in detector.find(text)] == ["Tr0ub4dor&3"]


def test_a_token_in_a_column_is_told_from_a_word(detector: Detector) -> None:
    text = "user,API key\nann,9f8e7d6c5b4a39281706\nbob,none-yet\n"
    assert [text[each.start : each.end] for each in detector.find(text)] == ["9f8e7d6c5b4a39281706"]


def test_a_quoted_cell_may_hold_what_sets_cells_apart() -> None:
    text = 'name,password,x\n"Doe, Ann","kite,""lamp""",1\n'
    (cell,) = tables.cells(text, [5], lambda heading: heading == "password")
    assert text[cell.start : cell.end] == 'kite,""lamp""'
    assert cell.firm


def test_lines_of_another_form_end_a_table() -> None:
    text = "name,password\nann,kite1\n# a remark\nbob,kite2\nno more\nof it\ncid,kite3\n"
    assert [text[each.start : each.end] for each in tables.cells(text, [5], bool)][1::2] == ["kite1", "kite2"]


def call(document: object) -> list[tuple[str, str]]:
    """Key and text of each slot of a tool's input, which is walked as JSON."""
    block = {"type": "tool_use", "id": "toolu_01", "name": "f", "input": document}
    slots = find_slots({"messages": [{"role": "assistant", "content": [block]}]}).slots
    return [(slot.key, slot.text) for slot in slots]


@pytest.mark.parametrize(
    "document",
    [
        {"columns": HEADINGS, "rows": ROWS},
        {"rows": ROWS, "columns": HEADINGS},
        {"data": {"rows": ROWS, "cols": [{"name": name, "type": "text"} for name in HEADINGS]}},
        [HEADINGS, *ROWS],
        {"sheet": [HEADINGS, *ROWS]},
    ],
    ids=["columns and rows", "rows first", "described", "the first row", "a sheet"],
)  # fmt: skip
def test_a_table_in_a_tools_input_is_told_by_its_headings(document: object) -> None:
    said = call(document)
    assert [text for key, text in said if key == "password" and text != "password"] == VALUES
    assert [text for key, text in said if key == "name" and text not in HEADINGS] == [row[0] for row in ROWS]


def test_numbers_in_a_table_have_its_heading_too() -> None:
    assert ("phone", "6502530000") in call({"columns": ["name", "phone"], "rows": [["Ann", 6502530000]]})


@pytest.mark.parametrize(
    "document",
    [
        [["a b c", "4"], ["5", "6"]],
        {"x": [["1", "2"], ["3", "4"]]},
        {"x": [["only"], ["one"]]},
        {"y": ["p", "q"], "x": [["a", "b", "3c"]]},
    ],
    ids=["a number", "numbers", "one column", "another length"],
)
def test_lists_of_lists_without_headings_have_the_key_above_them(document: object) -> None:
    assert {key for key, _ in call(document)} <= {"input", "x", "y"}


def test_a_number_as_a_key_says_nothing() -> None:
    assert call({"password": {"0": "kite", "1": "lamp"}}) == [("password", "kite"), ("password", "lamp")]


def seconds(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


PIECES = [
    "password,x\n",
    "a,password\nb,c\n",
    "password,",
    '["password","x"],',
    '["password",',
    '{"name":"password"},',
    "<th>password</th>",
    "<tr><th>password",
    "(password, x) VALUES ('a','b')",
    "(password, x) VALUES (",
    "password\tx\n\t\t",
    "| password | x |\n|---|---|\n",
    "password;x\\n",
    '\\"password\\",',
    "password  x\n",
    "password | ",
    'x,"password\n',
    ']],"c":["a","password"],',
    "COPY t (a, password) FROM stdin;\n",
]


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_tables_cost_time_in_proportion(piece: str) -> None:
    def read(size: int) -> float:
        text = piece * (size // len(piece))
        places = [at for at in range(len(text)) if text.startswith("password", at)]
        return min(
            seconds(lambda: list(tables.cells(text, places, lambda heading: "password" in heading))) for _ in range(2)
        )

    small, large = read(50_000), read(200_000)
    assert large < 4 * small * 3 + 0.1, (small, large)
    assert large < 4.0
