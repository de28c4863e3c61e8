"""Artifacts on disk: files that are whole, what says what they are, and one writer at a time."""

from c2srt_cli.artifacts.files import TEMPORARY, atomic_write, disk_errors, remove_leftovers, sync_folder
from c2srt_cli.artifacts.locking import LOCK, lock
from c2srt_cli.artifacts.manifests import (
    MANIFEST,
    UNFINISHED,
    artifact_kind,
    canonical_json,
    check_same,
    differences,
    fingerprint,
    manifest,
    peek_manifest,
    previous_manifest,
    read_json,
    read_manifest,
    write_json,
)
from c2srt_cli.artifacts.stamps import Stamp, file_sha256, file_stamp, still_holds

__all__ = [
    "LOCK",
    "MANIFEST",
    "TEMPORARY",
    "UNFINISHED",
    "Stamp",
    "artifact_kind",
    "atomic_write",
    "canonical_json",
    "check_same",
    "differences",
    "disk_errors",
    "file_sha256",
    "file_stamp",
    "fingerprint",
    "lock",
    "manifest",
    "peek_manifest",
    "previous_manifest",
    "read_json",
    "read_manifest",
    "remove_leftovers",
    "still_holds",
    "sync_folder",
    "write_json",
]
