"""Run inside a network namespace of its own: Orthanc, one `medgen send` to it, all read back.

    python orthanc_session.py ORTHANC FOLDER WORK

Orthanc listens on every interface whatever its settings say, so it is given none but the loopback
of a namespace that nobody else is in. What it has stored is written to WORK/back by the numbers of
its own list; how the sending ended is printed as JSON.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HTTP, DICOM = 8042, 4242
SECONDS_TO_START = 30.0


def main() -> None:
    orthanc, folder, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10, env=_environment())
    configuration = work / "orthanc.json"
    configuration.write_text(json.dumps(_configuration(work)))
    with (work / "orthanc.log").open("w") as log:
        server = subprocess.Popen(
            [orthanc, str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            _wait(server)
            ended = _send(folder)
            back = _read_back(work / "back")
        finally:
            server.kill()  # what it keeps is thrown away, and saying goodbye takes it seconds
            server.wait(10)
    print(json.dumps({**ended, **back}))


def _configuration(work: Path) -> dict[str, object]:
    return {
        "StorageDirectory": str(work / "storage"),
        "IndexDirectory": str(work / "storage"),
        "HttpPort": HTTP,
        "DicomPort": DICOM,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StableAge": 1,
        "Plugins": [],
    }


def _wait(server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            _get("/system")
        except OSError:
            if server.poll() is not None or time.monotonic() > until:
                sys.exit("Orthanc did not start")
            time.sleep(0.1)
        else:
            return


def _send(folder: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "medgen", "send", str(folder), "--json"]
    ended = subprocess.run(
        [*command, "--to", f"ORTHANC@127.0.0.1:{DICOM}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return {"code": ended.returncode, "said": ended.stdout, "complained": ended.stderr}


def _read_back(place: Path) -> dict[str, object]:
    place.mkdir()
    instances = json.loads(_get("/instances"))
    for number, instance in enumerate(instances):
        (place / f"{number}.dcm").write_bytes(_get(f"/instances/{instance}/file"))
    counts = {level: len(json.loads(_get(f"/{level}"))) for level in ("patients", "studies")}
    return {**counts, "series": len(json.loads(_get("/series"))), "instances": len(instances)}


def _get(path: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{HTTP}{path}", timeout=20) as answer:
        return bytes(answer.read())


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


if __name__ == "__main__":
    main()
