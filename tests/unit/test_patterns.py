"""The named patterns, and which regular expressions are taken."""

from __future__ import annotations

import pytest

from cachy.patterns import substitute


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("on 2026-11-23.", "on ‹date›."),
        ("at 2026-11-23T08:00:00.123456+00:00", "at ‹date›"),
        ("2026-11-23 08:00", "‹date›"),
        ("logs/run_2026-11-23.txt", "logs/run_‹date›.txt"),
        ("20261123T080000Z", "‹date›"),
        ("Today is Monday, November 23, 2026.", "Today is ‹date›."),
        ("Mon, 23 Nov 2026 08:00:00 GMT", "‹date›"),
        ("the 5th of November, 2026 at 2:05 PM,", "the ‹date›,"),
        ("Sept. 5", "‹date›"),
        ("11/23/2026 and 23.11.26", "‹date› and ‹date›"),
        ("it is 14:05:33", "it is ‹date›"),
        ("version 1.2.3 at 10.0.0.1, 16:9", "version 1.2.3 at 10.0.0.1, 16:9"),
        ("Mayor 3, may I, March on", "Mayor 3, may I, March on"),
        ("00:11:22:33:44:55", "00:11:22:33:44:55"),
        ("phone 555-12-3456, 12026-11-23", "phone 555-12-3456, 12026-11-23"),
    ],
)
def test_dates(text: str, marked: str) -> None:
    """ISO dates and times and the common written forms; neither versions nor addresses nor words."""
    assert substitute("date")(text) == marked


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("id=6f1c2a3b-1111-4222-8333-1234567890AB.", "id=‹uuid›."),
        ("run_6f1c2a3b1111422283331234567890ab", "run_‹uuid›"),
        ("x6f1c2a3b-1111-4222-8333-1234567890ab", "x6f1c2a3b-1111-4222-8333-1234567890ab"),
        ("0" * 33, "0" * 33),
    ],
)
def test_uuids(text: str, marked: str) -> None:
    """With hyphens or as 32 hex digits, as a word of its own."""
    assert substitute("uuid")(text) == marked


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("/tmp/tmpab12/report.txt", "‹tmp-path›/report.txt"),
        ("see '/tmp/tmpab.txt'!", "see '‹tmp-path›'!"),
        ("/tmp/pytest-of-me/pytest-3/test_a0/x", "‹tmp-path›/test_a0/x"),
        ("/private/var/folders/ab/cd_x/T/tmpq/x", "‹tmp-path›/x"),
        ("C:\\Users\\me\\AppData\\Local\\Temp\\tmpq\\x.txt", "‹tmp-path›\\x.txt"),
        ("/tmp/ and my/tmp/x", "/tmp/ and my/tmp/x"),
    ],
)
def test_temporary_paths(text: str, marked: str) -> None:
    """Down to the part that is new in each run, on every system; what lies in it keeps its name."""
    assert substitute("tmp-path")(text) == marked


@pytest.mark.parametrize(
    ("pattern", "text", "marked"),
    [
        (r"/run-[0-9a-f]{8}/", "run-0123abcd x", "‹ignored› x"),
        (r"/\d+-\d+/", "1-2 33-44", "‹ignored› ‹ignored›"),
        (r"/(?<=at ).*/", "at noon\nand at\nat night", "at ‹ignored›\nand at\nat ‹ignored›"),
        (r"/(?i)session: \w+/", "SESSION: ab1, x", "‹ignored›, x"),
        (r"/x*/", "axxb", "a‹ignored›b"),
        (r"/^\s+$/", "a\n \n\nb\n", "a\n‹ignored›\n\nb\n"),
        ("/a/b/", "a/b", "‹ignored›"),
        (r"/a\nb/", "a\nb", "a\nb"),
        ("/b/", "é" * 499 + "bb", "é" * 499 + "‹ignored›‹ignored›"),
        ("/b/", "b" * 100_001, "b" * 100_001),
    ],
)
def test_regular_expressions(pattern: str, text: str, marked: str) -> None:
    """They see a line at a time; where they match nothing they mark nothing."""
    assert substitute(pattern)(text) == marked


TAKEN = [
    r"/\w+ \w+/", r"/run \d+ of \d+/", r"/.*foo/", r"/(ab)*c/", r"/(\d{1,3}\.){3}\d{1,3}/", r'/"id": "[^"]*"/',
    r"/(foo|bar)-\d+/", r"/[a]+?b/", r"/\d{1,9}:\w{1,20}x/", r"/\bv\d+\.\d+\b/", r"/(?:x|yy)?z/", r"/a?b/",
    r"/[^\s,]+,/",
]  # fmt: skip
REFUSED = [
    r"/(a+)+b/", r"/(a|aa)*b/", r"/a*a*b/", r"/a?a?a?a?a?a?a?a?a?a?a?a?a?a?aaaaaaaaaaaaaa/", r"/(x*)*y/",
    r"/(?:a{0,50}){0,50}b/", r"/(?=(a+)+b)a/", r"/(\w+)=\1/", r"/\S+\/\d+/", r"/(a|ab)(c|bcd)(d*)(a|b|cd)+x/",
    r"/(?i)[A-Z]+a\w+z/", r"/\W+!\w+\W+/", r"/[^a]+b[^a]+c/",
]  # fmt: skip


@pytest.mark.parametrize("pattern", TAKEN)
def test_what_can_be_tried_in_few_ways_is_taken(pattern: str) -> None:
    """A repetition that the next sign ends, or one that is bounded, costs little on any text."""
    substitute(pattern)


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_could_take_very_long_is_refused(pattern: str) -> None:
    """Repetitions of repetitions and the like hang `re` on a few dozen characters, or on a long line."""
    with pytest.raises(ValueError, match="could take very long"):
        substitute(pattern)


@pytest.mark.parametrize(
    "pattern", ["", "dates", "/", "//", "/a", "a/", "/(/", "/a{9}{9}/", "/[/", "/(?P<a>x)(?P<a>y)/"]
)
def test_what_is_no_pattern(pattern: str) -> None:
    """A wrong name or expression is refused in one line."""
    with pytest.raises(ValueError, match=r"is no (pattern|regular expression)") as caught:
        substitute(pattern)
    assert "\n" not in str(caught.value)
