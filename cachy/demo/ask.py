"""Two questions to a language model: one answered at once, one word by word. Nothing here knows cachy."""

import json
import os

import httpx

url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"


def question(text: str) -> dict[str, object]:
    return {"model": "demo-1", "messages": [{"role": "user", "content": text}]}


answer = httpx.post(url, json=question("What is a recording?"), timeout=30)
print(answer.json()["choices"][0]["message"]["content"])

with httpx.stream("POST", url, json={**question("And a replay?"), "stream": True}, timeout=30) as stream:
    for line in stream.iter_lines():
        if line.startswith("data: {"):
            delta = json.loads(line[6:])["choices"][0]["delta"]
            print(delta.get("content", ""), end="", flush=True)
print()
