"""Files of failed visits, on the machine of the worker that made them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from domain.ids import new_id
from domain.jobs import Artifact, ArtifactKind

SUFFIX = {ArtifactKind.SCREENSHOT: ".jpg", ArtifactKind.TRACE: ".zip"}


def file_name(artifact: Artifact) -> str:
    """Its path in the folder of all artefacts: ``<job>/<id>.jpg`` or ``.zip``."""
    return f"{artifact.job_id}/{artifact.id}{SUFFIX[artifact.kind]}"


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The folder of all artefacts, which only its owner may read."""

    folder: Path

    def put(self, job_id: UUID, kind: ArtifactKind, content: bytes) -> Artifact:
        """Write a file."""
        artifact = Artifact(new_id(), job_id, kind, datetime.now(UTC))
        path = self.folder / file_name(artifact)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        return artifact

    def forget(self, older: timedelta) -> int:
        """Remove files that are older, and folders that are empty; how many files there were."""
        before = time.time() - older.total_seconds()
        forgotten = 0
        for job in self.folder.glob("*/"):
            for path in job.iterdir():
                with suppress(FileNotFoundError):  # another process keeps house here too
                    if path.stat().st_mtime < before:
                        path.unlink()
                        forgotten += 1
            with suppress(OSError):
                job.rmdir()
        return forgotten
