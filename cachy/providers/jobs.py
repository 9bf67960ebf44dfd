"""Jobs that run at the provider: which answers of a poll are not the last one.

Only the last one is recorded, so that a polling loop replays straight to its end.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..exchange import Request
from .base import Json, Unrecordable, words

# Lower case, `-` as `_`, without JOB_STATE_ and the like.
# `requires_action` is not here: it is the caller's turn.
_UNDER_WAY = words(
    "queued in_queue queueing scheduled submitted starting started initializing validating validating_files"
    " processing postprocessing post_processing preparing running in_progress inprogress finalizing canceling"
    " cancelling cancellation_requested cancel_requested stopping updating retrieving compressing uploading"
    " notstarted notrunning tuning waiting_for_quota processing_dataset"
)
# Words that on any other host are just as likely to describe the thing itself (an order that is pending).
_AT_PROVIDERS = _UNDER_WAY | words("pending created creating uploaded validated unspecified unknown")
_PREFIXES = ("tuning_job_state_", "job_state_", "batch_state_", "state_")
_FIELDS = ("status", "state", "processing_status", "validation_status")


def not_final(request: Request, value: Json) -> Unrecordable:
    """For a known provider: why the JSON answer of a GET is not the last one of its job, or None."""
    for job in _jobs(value):
        if reason := _under_way(job, _AT_PROVIDERS):
            return reason
    return None


def not_final_anywhere(request: Request, value: Json) -> Unrecordable:
    """The same for a host of which nothing is known."""
    return _under_way(value, _UNDER_WAY) if isinstance(value, dict) else None


def _under_way(job: dict[str, Json], words: frozenset[str]) -> Unrecordable:
    for field in _FIELDS:
        state = job.get(field)
        if isinstance(state, dict):
            # {"status": {"state": "running"}}: one of Hugging Face's endpoints, for which that is the goal.
            state = state.get("state")
            if state == "running":
                continue
        if isinstance(state, str) and _plain(state) in words:
            return f"the job is not finished ({state})"
    return None


def _plain(state: str) -> str:
    word = state.lower().replace("-", "_").replace(" ", "_")
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    return word


def _jobs(value: Json) -> Iterator[dict[str, Json]]:
    """The job itself, or every job of a list: some programs poll the list."""
    if not isinstance(value, dict):
        return
    yield value
    for field in ("data", "results", "files", "dataset"):
        inner = value.get(field)
        for item in inner if isinstance(inner, list) else [inner]:
            if isinstance(item, dict):
                yield item
