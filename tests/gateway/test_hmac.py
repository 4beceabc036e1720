"""Requests signed with the secret: the contract's vectors, and whatever is not quite them."""

import base64
import hashlib
import hmac
import io
import json
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from django.core.handlers.wsgi import WSGIRequest

from gateway import keys, signatures
from gateway.api import authentication, parsing
from gateway.errors import PayloadTooLarge
from gateway.models import ApiKey
from tests.factories import message

SECRET = b"API_SECRET"
DATE = "Sat, 30 Jul 2016 05:13:23 GMT"
MOMENT = datetime(2016, 7, 30, 5, 13, 23, tzinfo=UTC).timestamp()
BODY = json.dumps(
    {
        "url": "http://webhook.com/asdasd",
        "method": "POST",
        "encoding": "JSON",
        "headers": {"x-your-webhook-custom-header": "custom-value"},
        "events": ["RECEIVED_SMS"],
        "template": '{"id":"$mtId","status":"$statusCode"}',
    },
    separators=(",", ":"),
).encode()
MD5 = "ebc17c784962c1bfba71b16e70f136d7"
VECTORS = {
    "V1": (
        "hmac-sha1",
        "date x-Content-MD5 request-line",
        "POST",
        "/v1/webhooks/messages",
        "BuAt0SmCGjsp/1zBlKI40zfCraI=",
    ),
    "V2": (
        "hmac-sha1",
        "date request-line",
        "GET",
        "/v1/webhooks/messages/?page=0&pageSize=10",
        "Xv0j8C7y7V7owxzqRsGofseEJKo=",
    ),
    "V3": (
        "hmac-sha256",
        "Date Content-MD5 request-line",
        "POST",
        "/v1/webhooks/messages",
        "QEC0UKgLkwoUbrtf6u3KK+rXHg80R/dTggLKV+U6cmA=",
    ),
    "V4": (
        "hmac-sha256",
        "Date request-line",
        "DELETE",
        "/v1/webhooks/messages/7ca628a8-08b0-4e42-aeb8-960b37049c31",
        "LJEjeNYC10UnJn4GJoc04c4+0e93gb6A3h0NNcMsmDI=",
    ),
}


def header(algorithm: str, names: str, signature: str, username: str = "API_KEY") -> str:
    return f'username="{username}", algorithm="{algorithm}", headers="{names}", signature="{signature}"'


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_takes_the_contract_s_vectors(vector):
    algorithm, names, method, target, digest = vector
    assert hashlib.md5(BODY).hexdigest() == MD5
    signature = signatures.parse(header(algorithm, names, digest))
    assert signature.username == "API_KEY"
    given = {"date": DATE, "content-md5": MD5, "x-content-md5": MD5}

    def verifies(**changed):
        asked = {"secret": SECRET, "method": method, "targets": [target], "headers": given, "now": MOMENT}
        return signatures.verifies(signature, **(asked | changed))

    assert verifies()
    assert verifies(targets=["/v1/other", target])
    assert verifies(now=MOMENT + 300)
    assert verifies(now=MOMENT - 300)
    assert not verifies(now=MOMENT + 301)
    assert not verifies(now=MOMENT - 301)
    assert not verifies(secret=b"API_SECRE")
    assert not verifies(method="PUT")
    assert not verifies(targets=[target + "?"])
    assert not verifies(targets=[])
    assert not verifies(headers={"content-md5": MD5, "x-content-md5": MD5})
    assert not verifies(headers=given | {"date": "Sat, 30 Jul 2016 05:13:24 GMT"})
    assert not verifies(headers=given | {"date": "2016-07-30T05:13:23Z"})
    body = BODY if method == "POST" else b""
    assert signatures.fits_body(signature, headers=given, body=body)
    assert not signatures.fits_body(signature, headers=given, body=body + b" ")


def test_puts_a_name_s_case_into_the_signing_string():
    algorithm, names, method, target, digest = VECTORS["V3"]
    signature = signatures.parse(header(algorithm, names.lower(), digest))
    given = {"date": DATE, "content-md5": MD5}
    assert not signatures.verifies(
        signature, secret=SECRET, method=method, targets=[target], headers=given, now=MOMENT
    )


@pytest.mark.parametrize("digest", [MD5, MD5.upper(), f" {MD5} "])
def test_takes_the_body_s_md5_in_either_case(digest):
    signature = signatures.parse(header("hmac-sha1", "date Content-MD5 request-line", "AAAA"))
    assert signatures.fits_body(signature, headers={"content-md5": digest}, body=BODY)


@pytest.mark.parametrize("digest", ["", "x", "\xe9", base64.b64encode(bytes.fromhex(MD5)).decode()])
def test_takes_no_other_md5(digest):
    signature = signatures.parse(header("hmac-sha1", "date Content-MD5 request-line", "AAAA"))
    assert not signatures.fits_body(signature, headers={"content-md5": digest}, body=BODY)


def test_reads_its_parameters_in_any_order():
    text = 'signature="AAAA",headers="date request-line" , algorithm="hmac-sha1",username="k"'
    assert signatures.parse(text) == ("k", "sha1", ("date", "request-line"), b"\0\0\0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "username",
        'username="k"',
        header("hmac-md5", "date request-line", "AAAA"),
        header("HMAC-SHA1", "date request-line", "AAAA"),
        header("hmac-sha1", "date", "AAAA"),
        header("hmac-sha1", "request-line", "AAAA"),
        header("hmac-sha1", "", "AAAA"),
        header("hmac-sha1", "date Date request-line", "AAAA"),
        header("hmac-sha1", "date request-line h\xe9", "AAAA"),
        header("hmac-sha1", "date request-line", "A"),
        header("hmac-sha1", "date request-line", "\xe9AAA"),
        header("hmac-sha1", "date request-line", "AAAA") + ', more="x"',
        header("hmac-sha1", "date request-line", "AAAA") + ', username="other"',
        header("hmac-sha1", "date request-line", "AAAA") + " x",
        'username="k" ' * 5000,
    ],
)
def test_makes_nothing_of_anything_else(text):
    assert signatures.parse(text) is None


class Signer:
    """A client that signs: every part may be replaced before it is sent."""

    def __init__(self, caller) -> None:
        self.caller = caller

    def send(self, method: str, path: str, body: bytes = b"", *, algorithm: str = "sha256", **changed: str):
        md5 = {"Content-MD5": hashlib.md5(body).hexdigest()} if body else {}
        sent = {"Date": format_datetime(datetime.now(tz=UTC), usegmt=True)} | md5
        sent |= {name.replace("_", "-"): value for name, value in changed.items() if name[0] in "CDXx"}
        names = changed.get("names", " ".join(["Date", *md5, "request-line"])).split()
        line = f"{changed.get('signed_method', method)} {changed.get('target', path)} HTTP/1.1"
        text = "\n".join(line if name == "request-line" else f"{name}: {sent[name]}" for name in names)
        made = hmac.digest(changed.get("secret", self.caller.api_secret).encode(), text.encode(), algorithm)
        credential = header(
            f"hmac-{algorithm}",
            " ".join(names),
            base64.b64encode(made).decode(),
            changed.get("username", self.caller.api_key),
        )
        sent |= {"authorization": f"hmac {credential}"}
        return self.caller.send(method, path, changed.get("sent_body", "").encode() or body, **sent)


@pytest.fixture
def signer(acme) -> Signer:
    return Signer(acme)


BODY_SENT = json.dumps(message()).encode()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_signs_in(signer, algorithm):
    sent = signer.send("POST", "/v1/messages", BODY_SENT, algorithm=algorithm)
    assert sent.status == 200
    assert signer.send("GET", "/v1/messages?limit=1&to=%2B14155550101", algorithm=algorithm).json["data"]
    assert signer.send("GET", f"/v1/messages/{sent.json['id']}", algorithm=algorithm).status == 200
    assert signer.send("GET", "/v1/messages/a%20b%C3%A4", algorithm=algorithm).status == 404
    assert signer.send("GET", "/v1/messages/+1(2)'~", algorithm=algorithm).status == 404
    assert signer.send("GET", "/v1/messages/%2B1%282%29%27~", algorithm=algorithm).status == 404


@pytest.mark.parametrize(
    "changed",
    [
        {"signed_method": "PUT"},
        {"target": "/v1/messages/"},
        {"secret": "wrong"},
        {"username": "tl_live_unknown"},
        {"username": ""},
        {"names": "Date request-line"},
        {"names": "Content-MD5 request-line"},
        {"names": "Date Content-MD5"},
        {"Content_MD5": "0" * 32},
        {"sent_body": "another"},
        {"Date": "Sat, 30 Jul 2016 05:13:23 GMT"},
        {"Date": "now"},
    ],
    ids=lambda changed: "-".join(f"{name}={value}" for name, value in changed.items()),
)
def test_is_refused_like_any_other_credential(signer, changed):
    refused = signer.send("POST", "/v1/messages", BODY_SENT, **changed)
    plain = signer.caller.get("/v1/messages", authorization="Bearer x")
    assert refused.status == 401
    assert refused.json | {"requestId": ""} == plain.json | {"requestId": ""}
    # The body of a request without credentials is not waited for.
    same = {"X-Request-Id": "", "Connection": "close"}
    assert dict(refused.headers) | same == dict(plain.headers) | same


def test_refuses_a_put_that_was_signed_as_a_post(signer):
    assert signer.send("PUT", "/v1/messages", BODY_SENT).status == 405
    assert signer.send("PUT", "/v1/messages", BODY_SENT, signed_method="POST").status == 401


def test_signs_other_headers_too(signer):
    answer = signer.send(
        "POST",
        "/v1/messages",
        BODY_SENT,
        names="X-Request-Id Date Content-MD5 request-line",
        X_Request_Id="trace-1",
    )
    assert (answer.status, answer.json["requestId"]) == (200, "trace-1")


def test_is_refused_when_a_listed_header_is_missing(acme):
    credential = header("hmac-sha1", "date x-nothing request-line", "AAAA", acme.api_key)
    assert acme.get("/v1/messages", authorization=f"hmac {credential}", date=DATE).status == 401


def test_works_in_developer_mode(signer):
    sent = signer.send("POST", "/v1/messages", BODY_SENT, x_developer_mode="true")
    assert sent.status == 200
    path = f"/v1/messages/{sent.json['id']}"
    assert signer.send("GET", path).status == 404
    assert signer.send("GET", path, x_developer_mode="true").status == 200


def test_does_not_read_the_body_before_the_signature_is_good(acme):
    def request(signature: str, stream: io.BytesIO, length: int) -> WSGIRequest:
        credential = header("hmac-sha256", "date content-md5 request-line", signature, acme.api_key)
        return WSGIRequest(
            {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": "/v1/messages",
                "CONTENT_LENGTH": str(length),
                "HTTP_AUTHORIZATION": f"hmac {credential}",
                "HTTP_DATE": date,
                "HTTP_CONTENT_MD5": hashlib.md5(BODY_SENT).hexdigest(),
                "wsgi.input": stream,
            }
        )

    date = format_datetime(datetime.now(tz=UTC), usegmt=True)
    text = (f"date: {date}\ncontent-md5: {hashlib.md5(BODY_SENT).hexdigest()}\nrequest-line").replace(
        "request-line", "POST /v1/messages HTTP/1.1"
    )
    good = base64.b64encode(hmac.digest(acme.api_secret.encode(), text.encode(), "sha256")).decode()
    stream = io.BytesIO(BODY_SENT)
    assert authentication._sign_in(request("AAAA", stream, len(BODY_SENT))) is None
    assert stream.tell() == 0
    taken = request(good, stream, len(BODY_SENT))
    assert authentication._sign_in(taken).key_id == ApiKey.objects.get().pk
    taken.META["CONTENT_TYPE"] = "application/json"
    assert parsing.load(taken) == message()
    with pytest.raises(PayloadTooLarge):
        authentication._sign_in(request(good, io.BytesIO(b" " * 3_000_000), 3_000_000))


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"RAW_URI": "/v1/a%2fb?x=%zz"}, "/v1/a%2fb?x=%zz"),
        ({"REQUEST_URI": "http://host:80/v1/a?"}, "/v1/a?"),
        ({"PATH_INFO": "/v1/a b/ä", "QUERY_STRING": "x=%41+"}, "/v1/a%20b/%C3%A4?x=%41+"),
        ({"SCRIPT_NAME": "/sub", "PATH_INFO": "/v1/x"}, "/sub/v1/x"),
        ({"PATH_INFO": "/v1/+1:2"}, "/v1/%2B1%3A2"),
        ({"PATH_INFO": "/v1/+1:2"}, "/v1/+1:2"),
    ],
)
def test_signs_the_target_as_it_was_sent(environ, target):
    assert target in authentication._targets(environ)


def test_takes_as_long_to_refuse_an_unknown_key_as_a_wrong_secret(acme):
    """The same steps; what remains is noise, so the bound is wide."""

    def seconds(api_key: str) -> float:
        credential = "Basic " + base64.b64encode(f"{api_key}:wrong".encode()).decode()
        request = WSGIRequest(
            {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": credential, "wsgi.input": io.BytesIO()}
        )
        best = 1.0
        for _ in range(300):
            start = time.perf_counter()
            assert authentication._sign_in(request) is None
            best = min(best, time.perf_counter() - start)
        return best

    keys.find(acme.api_key)
    known, unknown = seconds(acme.api_key), seconds("tl_live_" + "x" * 40)
    assert 0.6 < known / unknown < 1.7
