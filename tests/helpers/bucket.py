"""A bucket on an S3-compatible server in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

BUCKET = "s3://recordings"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server; environment variables point to it while it runs."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture
def bucket(server: str) -> Iterator[str]:
    """An empty bucket, without cached clients of other servers."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    files.mkdir(BUCKET)
    yield BUCKET
    for one in files.call_s3("list_objects_v2", Bucket="recordings").get("Contents", ()):
        files.call_s3("delete_object", Bucket="recordings", Key=one["Key"])  # rm cannot delete keys with an empty part
    files.rmdir("recordings")


def put(source: Path, address: str) -> None:
    """Copy a file or a folder into a bucket."""
    import s3fs

    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    for path in [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file()):
        below = "" if path == source else f"/{path.relative_to(source).as_posix()}"
        files.pipe_file(f"{address}{below}", path.read_bytes())
