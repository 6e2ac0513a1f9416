"""A page that a site shows instead of its text is known; what people write about such pages passes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.error_pages import ERROR_PAGE_CHARS_MAX, is_error_page

ERROR_PAGES = [
    ("Just a moment...", "Enable JavaScript and cookies to continue"),
    ("Just a moment…", "www.example.com Verifying you are human. This may take a few seconds."),
    ("Just a moment...", "Checking your browser before accessing example.com. Ray ID: 8f2a"),
    ("", "# Just a moment...\n\nEnable JavaScript and cookies to continue\n"),
    (
        "Attention Required! | Cloudflare",
        "Sorry, you have been blocked\n\nYou are unable to access example.com\n\nWhy have I been blocked?",
    ),
    (
        "Access Denied",
        (
            'Access Denied\n=============\n\nYou don\'t have permission to access "http://a.example/".'
            "\n\nReference #18.2d351ab8.1557333295.a4e16ab"
        ),
    ),
    ("403 Forbidden", "You don't have permission to access /tides/ on this server."),
    ("Access Denied", "You do not have permission to access this page."),
    ("Access to this page has been denied", "Press & Hold to confirm you are a human (and not a bot)."),
    ("403 Forbidden", "403 Forbidden\n\n* * *\n\nnginx/1.18.0"),
    ("404 Not Found", "404 Not Found\n\nnginx"),
    (
        "404 Not Found",
        "Not Found\n\nThe requested URL /tides was not found on this server.\n\nApache/2.4.41 Server",
    ),
    ("Page not found | Harbour Office", "Sorry, but the page you were looking for could not be found."),
    ("Page Not Found", "Oops! We can't find the page you are looking for."),
    ("404 Not Found", ""),
    ("404 Not Found", "404 Not Found\n\nnginx/1.18.0 (Ubuntu)"),
    ("404 Not Found", "openresty"),
    ("403 Forbidden", "Apache/2.4.41 (Ubuntu) Server at harbour.example Port 443"),
    ("503 Service Unavailable", "Varnish cache server"),
    ("Are you a robot?", "Please complete the CAPTCHA below to go on."),
    ("Bloomberg - Are you a robot?", "Please make sure your browser supports JavaScript and cookies."),
    (
        "Pardon Our Interruption...",
        "As you were browsing something about your browser made us think you were a bot.",
    ),
    ("502 Bad Gateway", "502 Bad Gateway\n\n502 Bad Gateway\n\ncloudflare"),
    (
        "503 Service Temporarily Unavailable",
        "The server is temporarily unable to service your request. Please try again later.",
    ),
    ("", "Please enable JS and disable any ad blocker"),
    ("", "Not Found"),
]

REAL_PAGES = [
    (
        "HTTP 404 - Wikipedia",
        (
            "In computing, the HTTP 404, 404 not found, page not found, or file not found "
            "error message is a standard response code: the server could not find what was requested."
        ),
    ),
    (
        "404 Not Found",
        (
            'The phrase "404 Not Found" is what a server says of a page that it lacks. This article tells '
            "how to mend the links that lead there, and why the requested URL was not found on this server."
        ),
    ),
    (
        "How to fix the 404 Not Found error",
        "The requested URL was not found on this server: what that means, and seven ways to mend it.",
    ),
    (
        "Page not found guide for WordPress",
        "The page you requested could not be found? Reset your permalinks.",
    ),
    (
        "Access Denied",
        "Access Denied is the fifth studio album by the band, released in 1998 to some acclaim.",
    ),
    (
        "Access Denied (1997 film)",
        "You don't have permission to access the vault, says the guard at the begin.",
    ),
    (
        "CAPTCHA - Wikipedia",
        "A CAPTCHA is a test to tell whether the user is human. Complete the captcha to go on.",
    ),
    ("Just a moment: the psychology of now", "Enable JavaScript and cookies to continue reading this page."),
    ("Just a moment...", "A short film about two people who wait for a train that does not come."),
    ("Are you human? An essay on machines", "I am not a robot, says the robot, and completes the captcha."),
    ("Robot check", "How the robots of the factory in Ulm are checked each morning before the shift begins."),
    (
        "502 Bad Gateway",
        "My host says 502 bad gateway nginx since the update. What can I do? Asked two days ago.",
    ),
    ("502 Bad Gateway", "nginx gives me this for every upload above a megabyte. What can I do?"),
    ("404 Not Found - Stack Overflow", "nginx returns 404 for all static files below the location block."),
    ("404 Not Found | nginx", "Apache answers the same address without any trouble, so the file is there."),
    ("Access Denied", "Lyrics: You don't have permission to access my heart, you never had."),
    ("Tide tables", ""),
    ("", ""),
    ("", "\n\n***\n"),
]


@pytest.mark.parametrize(("title", "text"), ERROR_PAGES)
def test_a_page_of_an_error_is_known(title: str, text: str):
    """Heading and words together say what it is, in Markdown or plain text, in any case."""
    assert is_error_page(title, text)
    assert is_error_page(title.upper(), text.upper())
    assert is_error_page(f"  {title} ", f"\n{text}\n\n")


@pytest.mark.parametrize(("title", "text"), REAL_PAGES)
def test_what_is_written_about_errors_passes(title: str, text: str):
    """An article, a question or a song of that name is none, whatever words it quotes."""
    assert not is_error_page(title, text)


@pytest.mark.parametrize(("title", "text"), [pair for pair in ERROR_PAGES if pair[0]])
def test_a_long_page_is_none(title: str, text: str):
    """What has a text of its own is given, whatever its heading."""
    assert not is_error_page(title, text + " The tide turned at six." * (ERROR_PAGE_CHARS_MAX // 20))


@given(st.text(max_size=200), st.text(max_size=400))
def test_any_text_has_a_verdict(title: str, text: str):
    """It takes any strings and raises nothing."""
    assert is_error_page(title, text) in (True, False)


@pytest.mark.parametrize(
    "piece", ["oops!", "sorry, but ", "404 ", "not found ", "oops!!!!.. ", "the page ", "#"]
)
@pytest.mark.parametrize("title", ["404 Not Found", ""])
def test_no_text_takes_long(title: str, piece: str):
    """Words chosen to make a pattern try every way of reading them take no more time than others."""
    begun = time.process_time()
    for _ in range(10):
        is_error_page(title, (piece * ERROR_PAGE_CHARS_MAX)[:ERROR_PAGE_CHARS_MAX])

    assert time.process_time() - begun < 1.0
