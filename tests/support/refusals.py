"""What every refusal of ours has in common, looked at in one place."""

from __future__ import annotations

import httpx


def refused(response: httpx.Response, status: int, *words: str) -> str:
    """The sentence of a refusal in Tavily's envelope, which holds the words and nothing from inside."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    sentence: str = response.json()["detail"]["error"]
    assert sentence.endswith(".")
    for word in words:
        assert word in sentence
    for inside in ("Traceback", "msgspec", "Struct", ".py", "Error("):
        assert inside not in response.text
    return sentence
