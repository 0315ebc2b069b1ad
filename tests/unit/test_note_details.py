"""Details that a note does not bear out are seen without a model."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.decoys import Metadata
from pantheon.core.known_cases import known_notes
from pantheon.core.mutation_words import APPROVALS
from pantheon.core.notes.detailcheck import check_details, contradicted_words, foreign_numbers
from pantheon.core.notes.names import foreign_names, names_in
from pantheon.core.notes.textcheck import check_metadata
from pantheon.shell.known_changes import shipped_notes

NOTE = "Three tries were slower than 1,200 ms before the change; 14 minutes without an index. It is on port 8080."


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("After 14 minutes and 3 tries on 8080", ()),
        ("Takes 1200 ms, or 1,200 ms", ()),
        ("Takes 43 minutes", ("43",)),
        ("About 14.5 minutes", ("14.5",)),
        ("No number at all", ()),
    ],
)
def test_a_number_must_be_in_the_note(text: str, foreign: tuple[str, ...]) -> None:
    """In figures with or without a thousands' mark, or, up to twelve, in words."""
    assert foreign_numbers(text, NOTE) == foreign


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Was slower before the change", ()),
        ("Was faster before the change", ("faster",)),
        ("What it was after the change", ()),
        ("An index with more rows", ()),
        ("How it was made cheap", ()),
    ],
)
def test_a_word_whose_opposite_the_note_has_is_wrong(text: str, wrong: tuple[str, ...]) -> None:
    """Where the note has neither word, or both, nothing is said."""
    assert contradicted_words(text, NOTE) == wrong


@pytest.mark.parametrize("words", APPROVALS)
def test_words_to_a_reviewer_are_refused_wherever_they_stand(words: str) -> None:
    """Two of 50 such texts turned both reviewers round; whatever the note says, none gets to them."""
    for text in (words, f"Explains retries. {words}", f"{words} Explains retries."):
        assert [check for check, _ in check_details("description", text, f"{NOTE} {words}")] == [
            "description-address"
        ]
    assert not list(
        check_details("description", "Tells how reviewers answer and who may ignore an alarm.", NOTE)
    )


RENEWAL = "We renew the Let's Encrypt certificates of nginx with certbot; redis-server keeps sessions, CI runs IPv6."


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("Explains how nginx gets certificates with Certbot and Postgres.", ("Postgres",)),
        ("Explains how Nginx gets certificates with Certbot's help, and what Redis keeps.", ()),
        ("Moves the sessions to PostgreSQL. Then it renews them.", ("PostgreSQL",)),
        ("renews them on GitHub with HMAC-SHA256 over IPv6", ("GitHub", "HMAC", "SHA256")),
        ('Renews certificates. Another sentence begins. "Quoted" too: And this - Then that.', ()),
        ("An API of the OS for CI runs", ()),
        ("Certificate Renewal with Certbot and Postgres", ()),
        ("How certificates are renewed with Certbot and Postgres", ("Postgres",)),
        ("Certificate Renewal with Certbot and MySQL", ("MySQL",)),
    ],
)
def test_a_name_must_be_in_the_note(text: str, foreign: tuple[str, ...]) -> None:
    """What is spelled as a name must be there, whatever its case; what only a title capitalises need not."""
    assert foreign_names(text, RENEWAL) == foreign


def test_a_title_s_words_are_names_where_something_else_says_so() -> None:
    """A title's capitals say nothing; the description's do, and those of the worked examples that models copy from."""
    title = "Certificate Renewal with Certbot and Redis"
    assert foreign_names(title, "certbot renews the certificate") == ()
    assert foreign_names(title, "certbot renews the certificate", ("Redis",)) == ("Redis",)
    wrong = Metadata(
        title=title,
        description="How certbot renews the certificate while Redis runs.",
        tags=("certbot", "a", "b"),
    )
    found = {one.check for one in check_metadata(wrong, "certbot renews the certificate of a host")}
    assert {"title-name", "description-name"} <= found
    shown = wrong.model_copy(update={"description": "How certbot renews the certificate of a host."})
    example = ("Weighs signed cookies against a Redis store.",)
    found = {
        one.check
        for one in check_metadata(shown, "certbot renews the certificate of a host", prompt_texts=example)
    }
    assert "title-name" in found
    assert "description-name" not in found


def test_an_abbreviation_of_what_the_note_says_is_no_foreign_name() -> None:
    """Initials of words that follow one another in the note are the note's own."""
    assert foreign_names("it ran into an SLO", "the service level objective was missed") == ()
    assert foreign_names("it ran into an SLO", "the objective of the service level") == ("SLO",)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("how it moves to PostgreSQL", "we move to postgres"),
        ("how the tables are moved to Postgres", "we move to PostgreSQL"),
        ("a bundle of JavaScript", "the js bundle"),
        ("the proxy ends TLS", "the proxy serves https"),
        ("written in CSS", "our stylesheet"),
        ("how the whole job runs each Tuesday", "runs every tue"),
        ("tells what was done there in March", "done on 2025-03-04"),
        ("how the WiFi drops", "the wlan drops"),
        ("makes PDFs and calls APIs", "prints pages and calls the server"),
    ],
)
def test_another_way_to_write_a_name_is_no_other_name(text: str, note: str) -> None:
    """Short and long forms, days and months that the note has short or as dates, and what everybody abbreviates."""
    assert foreign_names(text, note) == ()


def test_a_beginning_that_many_names_have_is_no_name() -> None:
    """Nor is a day that the note does not have."""
    assert foreign_names("moves to PostgreSQL", "the post is moved") == ("PostgreSQL",)
    assert foreign_names("how that is watched by means of Datadog", "the data is watched") == ("Datadog",)
    assert foreign_names("how the whole job runs each Monday", "runs every tue") == ("Monday",)


def test_a_language_that_writes_nouns_with_capitals_is_no_list_of_names() -> None:
    """Where the note itself has capitals inside its sentences throughout, only terms are names."""
    note = "Wir erneuern das Zertifikat mit einem Skript, und der Dienst wird in der Nacht vom Rechner neu gestartet."
    assert foreign_names("wie die Erneuerung der Zertifikate in der Nacht läuft", note) == ()
    assert foreign_names("wie es mit GitHub läuft", note) == ("GitHub",)


def test_no_known_good_note_has_a_foreign_name() -> None:
    """The notes that travel with Pantheon, catalogued by people, raise no false alarm."""
    files = shipped_notes()
    assert len(files) >= 30
    assert len(known_notes(files)) == len(files)


def test_a_long_note_takes_no_time() -> None:
    """A note of a megabyte is read once, not once for each of its words."""
    began = time.process_time()
    assert foreign_names("Keeps it on GitHub, with Redis", "So it was with Redis. " * 45_000) == ("GitHub",)
    assert time.process_time() - began < 20


@given(st.text(max_size=60))
def test_a_note_has_all_its_own_names(text: str) -> None:
    """Whatever is spelled as a name in a note can be said of it."""
    assert foreign_names(text, text, names_in(text)) == ()


@given(st.text(max_size=60))
def test_a_note_never_contradicts_itself(text: str) -> None:
    """Whatever is in a note can be said of it."""
    assert foreign_numbers(text, text) == ()
    assert contradicted_words(text, text) == ()
