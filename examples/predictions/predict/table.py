"""The table of results, in PostgreSQL."""

import json
import ssl
from urllib.parse import parse_qs, unquote, urlsplit

import pg8000.native

SCHEMA = """
CREATE TABLE IF NOT EXISTS predictions (
    bucket text NOT NULL,
    key text NOT NULL,
    version text NOT NULL,
    -- Which picture of an archive, or nothing.
    member text NOT NULL,
    text text NOT NULL,
    confidence double precision NOT NULL,
    lines jsonb NOT NULL,
    error text,
    -- The object with the whole result.
    object text NOT NULL,
    predicted_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, key, version, member)
)
"""
INSERT = """
INSERT INTO predictions
    (bucket, key, version, member, text, confidence, lines, error, object, predicted_at)
VALUES (:bucket, :key, :version, :member, :text, :confidence, CAST(:lines AS jsonb), :error,
        :object, CAST(:predicted_at AS timestamptz))
ON CONFLICT DO NOTHING
"""
CONNECT_TIMEOUT_S = 5


def connect(url):
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    verified = options.get("sslmode") == ["verify-full"]
    return pg8000.native.Connection(
        unquote(parts.username or "postgres"),
        password=unquote(parts.password) if parts.password else None,
        host=parts.hostname,
        port=parts.port or 5432,
        database=unquote(parts.path.lstrip("/")) or "postgres",
        timeout=CONNECT_TIMEOUT_S,
        ssl_context=ssl.create_default_context() if verified else None,
        application_name="predictions",
    )


class Results:
    """Keeps its connection between invocations, and makes a new one where that is gone."""

    def __init__(self, url):
        self.url = url
        self.connection = None

    def insert(self, result, name):
        columns = ("bucket", "key", "version", "text", "confidence", "predicted_at")
        values = {column: result[column] for column in columns}
        self.run(
            INSERT,
            **values,
            member=result["member"] or "",
            lines=json.dumps(result["lines"]),
            error=result.get("error"),
            object=name,
        )

    def count(self):
        return self.run("SELECT count(*) FROM predictions")[0][0]

    def run(self, statement, **values):
        """What is done here may be done twice, so a connection that has died is no failure."""
        if self.connection is not None:
            try:
                return self.connection.run(statement, **values)
            except (pg8000.native.InterfaceError, pg8000.native.DatabaseError, OSError) as error:
                self.connection = None
                if not is_about_the_connection(error):
                    raise
        self.connection = connect(self.url)
        return self.connection.run(statement, **values)


def is_about_the_connection(error):
    """The server's own words for its end begin with 57P."""
    if isinstance(error, pg8000.native.DatabaseError):
        return error.args[0].get("C", "").startswith("57P")
    return True
