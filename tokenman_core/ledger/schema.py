"""The tables of the ledger, as steps that each add to what was there, so that old and new code share one file."""

# A step may create a table or an index, or add a column that has a default. Never more: an older process may still be writing
# to the file, by the names of the columns that it knows. For the same reason a newer file is written as it is.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        # Texts that repeat. `used` is the last day of a row that names it: when all rows of that day are gone, so is the name.
        """create table names (
            n integer primary key,
            text text not null unique,
            used integer not null
        )""",
        # A row a call. Names by their number; `time` in microseconds since the epoch; durations in microseconds;
        # money in 1e-12 USD, null where no price is known; `redactions` is `NAME:COUNT,…`, the name being
        # `ENTITY ACTION SETTING`; `flags` as in store.py. `id` is 12 bytes.
        """create table calls (
            seq integer primary key,
            id blob not null unique,
            time integer not null,
            provider integer not null default 0,
            model integer not null default 0,
            dialect integer not null default 0,
            operation integer not null default 0,
            project integer not null default 0,
            client integer not null default 0,
            session integer not null default 0,
            login integer not null default 0,
            outcome integer not null default 0,
            status integer not null default 0,
            error integer not null default 0,
            detail integer not null default 0,
            flags integer not null default 0,
            attempts integer not null default 0,
            cache integer not null default 0,
            input integer not null default 0,
            output integer not null default 0,
            cache_read integer not null default 0,
            cache_write_5m integer not null default 0,
            cache_write_1h integer not null default 0,
            reasoning integer not null default 0,
            cost integer,
            basis integer not null default 0,
            saved integer not null default 0,
            masked integer not null default 0,
            redactions text,
            duration integer not null default 0,
            ttft integer,
            overhead integer not null default 0
        )""",
        "create index calls_by_time on calls (time)",
        # Sums of a day (UTC, days since the epoch), kept for ever.
        """create table days (
            day integer not null,
            provider text not null,
            model text not null,
            project text not null,
            client text not null,
            calls integer not null default 0,
            errors integer not null default 0,
            aborted integer not null default 0,
            hits integer not null default 0,
            masked integer not null default 0,
            input integer not null default 0,
            output integer not null default 0,
            cache_read integer not null default 0,
            cache_write_5m integer not null default 0,
            cache_write_1h integer not null default 0,
            reasoning integer not null default 0,
            cost integer not null default 0,
            notional integer not null default 0,
            saved integer not null default 0,
            unpriced integer not null default 0,
            estimated integer not null default 0,
            primary key (day, provider, model, project, client)
        ) without rowid""",
        """create table redaction_days (
            day integer not null,
            entity text not null,
            action text not null,
            count integer not null default 0,
            primary key (day, entity, action)
        ) without rowid""",
        # `horizon`: rows before this moment (microseconds) have been purged; what is told of them are the days' sums.
        "create table facts (name text primary key, value integer not null) without rowid",
    ),
    (
        # Calls that their provider answered with 4xx, and those whose price was guessed.
        "alter table days add column refused integer not null default 0",
        "alter table days add column ceiling integer not null default 0",
    ),
    # Attempts of a call that was not answered at the first: `NAME:WAIT,…`, the name being `PROVIDER MODEL OUTCOME`, the wait
    # in milliseconds.
    ("alter table calls add column tried text",),
    (
        # Where what was found in a call stood, a line each: `NAME:TIMES:HASH:PLACE`, the name being `ENTITY ACTION`. Kept for the
        # latest calls alone: see store.py. `call` is the call's `seq`.
        "create table spots (call integer primary key, found text not null)",
        """create table redaction_project_days (
            day integer not null,
            project text not null,
            entity text not null,
            action text not null,
            count integer not null default 0,
            primary key (day, project, entity, action)
        ) without rowid""",
    ),
    (
        # What the provider's own cache took off the cost; below 0 where its writes cost more than its reads saved.
        "alter table calls add column cache_saved integer not null default 0",
        "alter table days add column cache_saved integer not null default 0",
    ),
    # What of a call's usage has prices of its own: `NAME:COUNT,…`, the name being one of genai-prices' words (`web_searches`).
    ("alter table calls add column parts text",),
    (
        # Why the provider's own cache did not have what it had before (a name), how many tokens, and what they cost more for it.
        "alter table calls add column cache_break integer not null default 0",
        "alter table calls add column cache_lost integer not null default 0",
        "alter table calls add column cache_lost_cost integer not null default 0",
        """create table cache_break_days (
            day integer not null,
            cause text not null,
            count integer not null default 0,
            tokens integer not null default 0,
            cost integer not null default 0,
            primary key (day, cause)
        ) without rowid""",
        # Calls that a cache of answers would have answered, had there been one; `exact`: also one of mode deterministic.
        "alter table days add column repeated integer not null default 0",
        "alter table days add column repeated_cost integer not null default 0",
        "alter table days add column exact integer not null default 0",
        "alter table days add column exact_cost integer not null default 0",
    ),
    # Placeholders of the answer that stayed.
    ("alter table calls add column unrestored integer not null default 0",),
)
