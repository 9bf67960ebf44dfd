"""Jobs that run at the provider: which answers of a poll are not the last one, and whose fault a failure was.

Only the last one is recorded, so that a polling loop replays straight to its end; and not that one either when the
provider failed, as it may do better the next time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..exchange import Request, Response
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
# Of these, what a program waits for to change if it asks again.
_PERHAPS = words("pending creating waiting enqueued")
_SIGNS = tuple(word.encode() for word in _PERHAPS)
_LARGEST = 64 * 1024  # bytes; what says how a job goes is small
_PREFIXES = ("tuning_job_state_", "job_state_", "batch_state_", "state_")
_FIELDS = ("status", "state", "processing_status", "validation_status")


def not_final(request: Request, value: Json) -> Unrecordable:
    """For a known provider: why the JSON answer of a GET is not the last one of its job, or None."""
    if _operation_under_way(request, value):
        return "the operation is not done"
    for job in _jobs(value):
        if reason := _under_way(job, _AT_PROVIDERS):
            return reason
    return None


def not_final_anywhere(request: Request, value: Json) -> Unrecordable:
    """The same for a host of which nothing is known."""
    if _operation_under_way(request, value):
        return "the operation is not done"
    return _under_way(value, _UNDER_WAY) if isinstance(value, dict) else None


def perhaps_not_final(request: Request, response: Response) -> bool:
    """Whether the answer of a host of which nothing is known may be one of a poll that goes on.

    It is recorded, as it may as well be all there is; but a loop that waits for its end must not get it for ever.
    """
    if request.method != "GET" or len(response.body) > _LARGEST:
        return False
    body = response.body.lower()
    if not any(sign in body for sign in _SIGNS):
        return False
    try:
        value = json.loads(body)
    except ValueError:
        return False
    return isinstance(value, dict) and _under_way(value, _PERHAPS) is not None


def _operation_under_way(request: Request, value: Json) -> bool:
    """Google's long-running operations, wherever they are: there is no `done` until they are done."""
    if "/operations/" not in request.url or not isinstance(value, dict):
        return False
    return "operations/" in str(value.get("name", "")) and value.get("done") is not True


_FAILED = words("failed error errored")
# What a job that failed says when nothing was wrong with what it was asked.
_ITS_OWN_FAULT = words(
    "server_error internal_error internal_server_error internal internal_failure rate_limit_exceeded"
    " rate_limit_error overloaded overloaded_error engine_overloaded api_error timeout timeout_error"
    " service_unavailable unavailable resource_exhausted deadline_exceeded vector_store_timeout aborted"
)
_STATUS = frozenset((408, 429, *range(500, 600)))  # HTTP's
_CODES = frozenset(
    (4, 8, 10, 13, 14)
)  # gRPC's, in operations: deadline, exhausted, aborted, internal, unavailable


def failed_there(value: Json) -> Unrecordable:
    """The reason when a response, or a job that is done, failed through a fault of the provider."""
    if not isinstance(value, dict):
        return None
    status = _plain(value["status"]) if isinstance(value.get("status"), str) else ""
    if value.get("object") == "response" and status == "failed":
        return "the response has failed"
    if status not in _FAILED and value.get("done") is not True:
        return None
    for error in (value.get("error"), value.get("last_error")):
        if not isinstance(error, dict):
            continue
        for said in (error.get("code"), error.get("type"), error.get("status")):
            codes = _CODES | _STATUS if value.get("done") is True else _STATUS
            if (
                said in codes
                if isinstance(said, int)
                else isinstance(said, str) and _plain(said) in _ITS_OWN_FAULT
            ):
                return f"the job has failed at the provider ({said})"
    return None


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
