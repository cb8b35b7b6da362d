import socket
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
import pydicom
import pytest
from dicom_corpus import CANARIES, CT, MR, SOP_CLASSES, make_series, make_slices, save_series, uid
from dicom_encoding import DEFLATED, EXPLICIT, IMPLICIT, JPEG_LS, RLE
from dicom_receiver import receiving
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.dsutils import split_dataset

from medgen.dicom.association import Receiver, check_title, receiver_of
from medgen.dicom.outgoing import outgoing_files
from medgen.dicom.sending import send
from medgen.problems import ConfigurationError, Exit, NothingFound

SHAPE = (8, 6, 5)
ALL = [(sop, syntax) for sop in SOP_CLASSES.values() for syntax in (EXPLICIT, IMPLICIT)]
ALL += [(sop, syntax) for sop in SOP_CLASSES.values() for syntax in (DEFLATED, RLE, JPEG_LS)]


def _datasets(folder):
    """Return the bytes behind the file meta information, by SOP instance."""
    found = {}
    for path in folder.rglob("*.dcm"):
        meta, offset = split_dataset(path)
        found[str(meta.MediaStorageSOPInstanceUID)] = path.read_bytes()[offset:]
    return found


def _send(folder, received, **options):
    return send(folder, receiver_of(received.address), **({"timeout": 5.0} | options))


@pytest.fixture
def series(tmp_path):
    folder = tmp_path / "series"
    make_series(folder, CT, shape=SHAPE)
    return folder


def _codes(delivery):
    return [problem.code for _, problem in delivery.failed]


def test_a_receiver_gets_every_file_bit_by_bit_whatever_its_encoding(tmp_path):
    for number, syntax in enumerate((EXPLICIT, IMPLICIT, DEFLATED, RLE, JPEG_LS)):
        folder = tmp_path / "tree" / str(number)
        make_series(folder, MR if number % 2 else CT, shape=SHAPE, seed=number, syntax=syntax)
    done = []
    with receiving(ALL) as received:
        delivery = _send(
            tmp_path / "tree",
            received,
            calling="WORKSTATION",
            on_file=lambda *told: done.append(told),
        )
    assert delivery.exit_code == Exit.OK
    assert (delivery.files, delivery.stored, delivery.failed) == (25, 25, ())
    assert received.datasets == _datasets(tmp_path / "tree")
    for path in (tmp_path / "tree").rglob("*.dcm"):
        meta, _ = split_dataset(path)
        name = str(meta.MediaStorageSOPInstanceUID)
        assert received.syntaxes[name] == str(meta.TransferSyntaxUID)
    assert received.callers == {"WORKSTATION"}
    assert done == [(n, 25) for n in range(1, 26)]


def test_the_receiver_is_asked_before_anything_is_stored(series):
    with receiving(ALL) as received:
        _send(series, received)
    assert received.order == ["A", "E", *"SSSSS"]


def test_a_receiver_without_verification_is_sent_to_all_the_same(series):
    with receiving(ALL, verification=False) as received:
        assert _send(series, received).stored == 5
    assert "E" not in received.order


def test_one_file_can_be_sent(series):
    with receiving(ALL) as received:
        assert _send(next(series.iterdir()), received).stored == 1


def test_warnings_count_as_stored_and_are_told_apart(series):
    def answer(number, _event):
        return {2: 0xB000, 4: 0xB007}.get(number, 0)

    with receiving(ALL, answer=answer) as received:
        delivery = _send(series, received)
    assert delivery.exit_code == Exit.OK
    assert delivery.stored == len(received.datasets) == 5
    assert delivery.warned == {0xB000: 1, 0xB007: 1}


@pytest.mark.parametrize(
    ("statuses", "stored", "exit_code"),
    [({3: 0xA700}, 4, Exit.SOME_FAILED), (dict.fromkeys(range(1, 6), 0xC123), 0, Exit.ALL_FAILED)],
)
def test_refusals_are_told_file_by_file_and_not_repeated(series, statuses, stored, exit_code):
    with receiving(ALL, answer=lambda number, _: statuses.get(number, 0)) as received:
        delivery = _send(series, received)
    assert delivery.exit_code == exit_code
    assert delivery.stored == stored
    assert _codes(delivery) == ["E_SEND_REFUSED"] * len(statuses)
    assert received.order.count("S") == 5
    assert f"0x{next(iter(statuses.values())):04X}" in delivery.failed[0][1].message
    refused = sorted(series.iterdir())[next(iter(statuses)) - 1]
    assert delivery.failed[0][0] == refused


def test_a_kind_that_the_receiver_does_not_take_fails_alone_and_is_not_transcoded(tmp_path):
    make_series(tmp_path / "tree/native", CT, shape=SHAPE)
    make_series(tmp_path / "tree/rle", CT, shape=SHAPE, seed=1, syntax=RLE)
    with receiving([(SOP_CLASSES[CT], EXPLICIT)]) as received:
        delivery = _send(tmp_path / "tree", received)
    assert delivery.exit_code == Exit.SOME_FAILED
    assert received.datasets == _datasets(tmp_path / "tree/native")
    assert _codes(delivery) == ["E_SEND_CONTEXT"] * 5
    message = delivery.failed[0][1].message
    assert "CT Image Storage" in message
    assert "RLE Lossless" in message


def test_more_kinds_than_one_association_can_negotiate_take_several(tmp_path):
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    kinds = [(name, syntax) for syntax in (EXPLICIT, IMPLICIT) for name in classes][:260]
    (dataset,), _ = make_slices(CT, shape=(2, 2, 1))
    for number, (dataset.SOPClassUID, syntax) in enumerate(kinds):
        dataset.SOPInstanceUID = uid("an instance", number)
        save_series(tmp_path / "series", [dataset], first=number, syntax=syntax)
    with receiving(kinds) as received:
        # A busy machine may take long over one file; the association must not be lost for that.
        delivery = _send(tmp_path / "series", received, timeout=60.0)
    assert delivery.stored == 260
    assert delivery.associations == received.order.count("A") == 3
    assert received.datasets == _datasets(tmp_path / "series")


def test_a_lost_association_is_opened_again_for_the_same_file(series):
    def answer(number, event):
        if number == 3:
            event.assoc.abort()
        return 0

    with receiving(ALL, answer=answer) as received:
        delivery = _send(series, received)
    assert delivery.exit_code == Exit.OK
    assert delivery.stored == 5
    assert delivery.associations == 2
    assert received.datasets == _datasets(series)


def test_a_file_that_loses_it_twice_fails_alone(series):
    bad = sorted(series.iterdir())[2]
    poison = str(split_dataset(bad)[0].MediaStorageSOPInstanceUID)

    def answer(_number, event):
        if str(event.request.AffectedSOPInstanceUID) == poison:
            event.assoc.abort()
        return 0

    with receiving(ALL, answer=answer) as received:
        delivery = _send(series, received)
    assert delivery.exit_code == Exit.SOME_FAILED
    assert [path for path, _ in delivery.failed] == [bad]
    assert _codes(delivery) == ["E_SEND_LOST"]
    assert received.order.count("A") == 3


def test_a_receiver_that_always_drops_the_line_is_given_up_after_three_files(series):
    def answer(_number, event):
        event.assoc.abort()
        return 0

    with receiving(ALL, answer=answer) as received:
        delivery = _send(series, received)
    assert delivery.exit_code == Exit.ALL_FAILED
    assert _codes(delivery) == ["E_SEND_LOST"] * 5
    assert received.order.count("S") == 6


@contextmanager
def _relay(port, *, after_bytes):
    """Pass bytes to a receiver, and die for good once so many have come."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(10)

    def pump(source, sink, state):
        try:
            while block := source.recv(4096):
                state["seen"] += len(block)
                if state["seen"] > after_bytes:
                    break
                sink.sendall(block)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def serve():
        client, _ = server.accept()
        server.close()  # nobody answers a second call
        upstream = socket.create_connection(("127.0.0.1", port))
        back = threading.Thread(target=pump, args=(upstream, client, {"seen": -(1 << 40)}))
        back.start()
        pump(client, upstream, {"seen": 0})
        back.join(10)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        thread.join(20)


def test_a_receiver_that_dies_half_way_leaves_the_rest_told_and_nothing_hanging(tmp_path):
    make_series(tmp_path / "series", CT, shape=(32, 32, 12))
    size = next((tmp_path / "series").iterdir()).stat().st_size
    started = time.monotonic()
    with receiving(ALL) as received, _relay(received.port, after_bytes=6 * size) as port:
        delivery = send(tmp_path / "series", Receiver("ARCHIVE", "127.0.0.1", port), timeout=2.0)
    assert time.monotonic() - started < 15
    assert delivery.exit_code == Exit.SOME_FAILED
    assert delivery.stored == len(received.datasets)
    assert 3 <= delivery.stored <= 6
    assert delivery.stored + len(delivery.failed) == 12
    assert set(_codes(delivery)) == {"E_SEND_UNREACHABLE"}  # lost once, and not opened again


def test_a_receiver_that_never_answers_is_not_waited_for(series):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        delivery = send(series, Receiver("ARCHIVE", "127.0.0.1", port), timeout=0.3)
    assert time.monotonic() - started < 5
    assert delivery.exit_code == Exit.ALL_FAILED
    assert _codes(delivery) == ["E_SEND_UNREACHABLE"] * 5


def test_a_receiver_that_stops_reading_is_not_waited_for(tmp_path):
    values = np.zeros((2600, 2600, 1))
    (dataset,), _ = make_slices(CT, shape=values.shape, values=values)
    save_series(tmp_path, [dataset])  # more than the system keeps for a receiver
    woken = threading.Event()
    seen = []

    def stall(data):
        seen.append(len(data))
        if sum(seen) > 500_000:
            woken.wait(30)

    started = time.monotonic()
    with receiving(ALL, on_data=stall) as received:
        delivery = _send(tmp_path, received, timeout=0.5)
        waited = time.monotonic() - started
        woken.set()
    assert waited < 10
    assert _codes(delivery) == ["E_SEND_UNREACHABLE"]  # lost once, and not opened again


def test_a_closed_port_and_an_unknown_host_are_told(series, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert _codes(send(series, Receiver("A", "127.0.0.1", port))) == ["E_SEND_UNREACHABLE"] * 5

    def unknown(*_arguments, **_options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    delivery = send(series, Receiver("A", "nowhere.invalid", 104))
    assert "name is not known" in delivery.failed[0][1].message
    assert delivery.exit_code == Exit.ALL_FAILED


def test_a_rejected_association_says_why(series):
    with receiving(ALL, called="OTHER") as received:
        delivery = _send(series, received)
    assert _codes(delivery) == ["E_SEND_REJECTED"] * 5
    assert "Called AE title not recognised" in delivery.failed[0][1].message


def test_files_that_are_not_dicom_are_refused_or_left_out(series):
    (series / "report.json").write_text("{}")
    (series / "broken.dcm").write_bytes(b"not DICOM" * 40)
    (series / "short.dcm").write_bytes(b"")
    (series / "no-meta.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
    (series / ".tmp-0011aabb-late.dcm").write_bytes(b"half")
    (series / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    with receiving(ALL) as received:
        delivery = _send(series, received)
    assert delivery.stored == 5
    assert (delivery.files, delivery.others) == (8, 1)
    assert delivery.exit_code == Exit.SOME_FAILED
    assert {path.name for path, _ in delivery.failed} == {"broken.dcm", "short.dcm", "no-meta.dcm"}


def test_a_file_without_identity_is_refused(tmp_path):
    (dataset,), _ = make_slices(CT, shape=(4, 4, 1))
    dataset.SOPInstanceUID = ""
    save_series(tmp_path, [dataset])
    ((_, problem),) = outgoing_files(tmp_path).refused
    assert problem.code == "E_NO_IDENTITY"
    assert "MediaStorageSOPInstanceUID" in problem.message


def test_nothing_to_send_is_nothing_found(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(NothingFound, match="E_NOTHING_FOUND"):
        send(tmp_path, Receiver("A", "127.0.0.1", 104))
    with pytest.raises(NothingFound, match="E_MISSING_FILE"):
        send(tmp_path / "absent", Receiver("A", "127.0.0.1", 104))


def test_no_log_warning_or_problem_names_a_patient(tmp_path, caplog, capfd, recwarn):
    datasets, _ = make_slices(CT, shape=SHAPE)
    save_series(tmp_path / "DOE^JANE", datasets)
    caplog.set_level("DEBUG")
    with receiving(ALL, answer=lambda number, _: 0xA900 if number == 2 else 0) as received:
        caplog.clear()
        delivery = _send(tmp_path, received)
    told = "".join(str(problem) for _, problem in delivery.failed) + repr(delivery)
    told += "".join(capfd.readouterr()) + "".join(str(warning.message) for warning in recwarn)
    told += "".join(record.getMessage() for record in caplog.records)
    assert delivery.failed
    assert [word for word in CANARIES if word in told] == []


def test_the_networks_settings_are_put_back(series):
    import logging

    from pynetdicom import _config

    def settings():
        level = logging.getLogger("pynetdicom").level
        return level, _config.STORE_SEND_CHUNKED_DATASET, _config.LOG_HANDLER_LEVEL

    before = settings()
    with receiving(ALL) as received:
        _send(series, received)
    assert settings() == before


def test_an_interruption_aborts_the_association(series):
    def interrupt(done, _total):
        if done == 2:
            raise KeyboardInterrupt

    before = threading.active_count()
    with receiving(ALL) as received:
        with pytest.raises(KeyboardInterrupt):
            _send(series, received, on_file=interrupt)
        assert len(received.datasets) == 2
    time.sleep(0.2)
    assert threading.active_count() <= before


@pytest.mark.parametrize(
    ("text", "title", "host", "port"),
    [
        ("ARCHIVE@127.0.0.1:11112", "ARCHIVE", "127.0.0.1", 11112),
        ("A b_1@pacs.hospital.example:104", "A b_1", "pacs.hospital.example", 104),
        ("SIXTEEN_LETTERS_@[::1]:65535", "SIXTEEN_LETTERS_", "::1", 65535),
        ("A@B@host:1", "A@B", "host", 1),
    ],
)
def test_destinations(text, title, host, port):
    assert receiver_of(text) == Receiver(title, host, port)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((text, "E_DESTINATION") for text in ("", "host:104", "A@host", "A@:104", "A@host:0")),
        *((text, "E_DESTINATION") for text in ("A@host:65536", "A@host:x", "A@::1:104")),
        *((text, "E_DESTINATION") for text in ("A@[::1]104", "A@[nine]:104", "A@host:١")),
        *((text, "E_AE_TITLE") for text in ("@h:104", "   @h:104", "SEVENTEEN_LETTERS@h:104")),
        *((text, "E_AE_TITLE") for text in ("A\\B@h:104", "Ä@h:104", "A\tB@h:104")),
    ],
)
def test_wrong_destinations(text, code):
    with pytest.raises(ConfigurationError, match=code):
        receiver_of(text)


def test_a_destination_without_a_port_is_told_so():
    with pytest.raises(ConfigurationError, match="no port"):
        receiver_of("ARCHIVE@host")
    with pytest.raises(ConfigurationError, match="no host"):
        receiver_of("ARCHIVE@:104")


def test_a_title_is_padded_with_spaces_that_mean_nothing():
    assert check_title("  MEDGEN ") == "MEDGEN"


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan")])
def test_a_time_for_an_answer_is_needed(series, timeout):
    with pytest.raises(ConfigurationError, match="E_TIMEOUT"):
        send(series, Receiver("A", "127.0.0.1", 104), timeout=timeout)


def test_ipv6(series):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback on this machine")
    with receiving(ALL, host="::1") as received:
        delivery = send(series, receiver_of(f"ARCHIVE@[::1]:{received.port}"), timeout=5.0)
    assert delivery.stored == 5


def test_sent_files_are_still_readable_as_dicom(series):
    assert all(pydicom.dcmread(path).Modality == CT for path in series.iterdir())
