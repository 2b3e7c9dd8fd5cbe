"""Send an exported folder to a hub: `python -m workbench.export.push_job FOLDER`.

File by file, and then one commit that makes all of them seen.
"""

from __future__ import annotations

import sys
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

from workbench.errors import WorkbenchError
from workbench.export import push
from workbench.jobs.control import Control, Stopped
from workbench.jobs.events import Finished
from workbench.jobs.log import LogWriter
from workbench.jobs.progress import ProgressLog
from workbench.jobs.runner import run_job


def work(folder: Path, log: LogWriter, control: Control) -> Finished:
    """Send what the folder's request names.

    Raises Stopped, with nothing to be seen on the hub, once a person asks for it, and
    WorkbenchError when the hub refuses.
    """
    tell = ProgressLog(log, control)
    source, repository, private, names = push.read_request(folder)
    push.refuse_without_hub()
    sizes = {name: (source / name).stat().st_size for name in names}
    total, done = sum(sizes.values()), 0
    api = HfApi()
    try:
        tell("uploading", 0, total, "bytes")
        api.create_repo(repository, private=private, exist_ok=True)
        files = [CommitOperationAdd(name, str(source / name)) for name in names]
        for file in files:
            api.preupload_lfs_files(repository, [file])
            done += sizes[file.path_in_repo]
            tell("uploading", done, total, "bytes")
        # Until here nobody sees any of it.
        made = api.create_commit(
            repository, operations=files, commit_message="Upload with workbench"
        )
    except (WorkbenchError, Stopped):
        raise
    except Exception as error:  # whatever the hub's HTTP client raises: it changed more than once
        raise push.refused(repository, error) from None
    return Finished(stopped=False, result=str(made.commit_url))


if __name__ == "__main__":
    sys.exit(run_job(work, sys.argv[1:]))
