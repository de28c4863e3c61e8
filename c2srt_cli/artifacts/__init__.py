"""Artifacts on disk: files that are whole, what says what they are, and one writer at a time."""

from c2srt_cli.artifacts.buckets import address, bucket_path, in_bucket, is_address
from c2srt_cli.artifacts.devices import is_stream, open_stream
from c2srt_cli.artifacts.files import (
    TEMPORARY,
    atomic_write,
    check_folder,
    check_writable,
    disk_errors,
    output_file,
    put,
    remove_leftovers,
)
from c2srt_cli.artifacts.limits import flush, lacking, sync_folder
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
    "address",
    "artifact_kind",
    "atomic_write",
    "bucket_path",
    "canonical_json",
    "check_folder",
    "check_same",
    "check_writable",
    "differences",
    "disk_errors",
    "file_sha256",
    "file_stamp",
    "fingerprint",
    "flush",
    "in_bucket",
    "is_address",
    "is_stream",
    "lacking",
    "lock",
    "manifest",
    "open_stream",
    "output_file",
    "peek_manifest",
    "previous_manifest",
    "put",
    "read_json",
    "read_manifest",
    "remove_leftovers",
    "still_holds",
    "sync_folder",
    "write_json",
]
