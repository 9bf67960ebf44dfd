"""A program that knows nothing of cachy: asks the service of docs/providers.md and waits for what it makes."""

import os
import time

import httpx

base = os.environ["ACME_BASE_URL"]
headers = {"acme-key": os.environ["ACME_API_KEY"], "acme-version": "2"}
with httpx.Client(base_url=base, headers=headers) as client:
    job = client.post("/brew", json={"tea": "green"}).raise_for_status().json()
    looks = 1
    while (answer := client.get(f"/jobs/{job['id']}").json())["phase"] == "brewing":
        looks += 1
        time.sleep(0.01)
    print(job, answer, client.post("/kettle", json={}).text)
    print("looks:", looks)
