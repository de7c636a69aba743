"""What ``--store`` may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.config import Settings
from weft.errors import InvalidError
from weft.etcd import access, address
from weft.etcd.address import EtcdAddress


def settings(store: str, **others: str) -> Settings:
    return Settings(name="h1", store=store, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("store", "urls", "prefix"),
    [
        ("etcd://192.0.2.1", ["http://192.0.2.1:2379"], "/weft"),
        ("etcd://a,b:1/", ["http://a:2379", "http://b:1"], "/weft"),
        ("etcd://[2001:db8::1]:7/x/y/", ["http://[2001:db8::1]:7"], "/x/y"),
    ],
)
def test_an_etcd_is_named_by_its_members_and_a_prefix(
    store: str, urls: list[str], prefix: str
) -> None:
    given = settings(store)
    address.check(given)
    assert address.external(given) == EtcdAddress(tuple(urls), prefix)


def test_with_certificates_it_is_spoken_to_in_tls() -> None:
    given = settings("etcd://a", etcd_ca_file="/ca.pem")
    assert address.external(given).urls == ("https://a:2379",)


@pytest.mark.parametrize(
    ("store", "others", "match"),
    [
        ("etc", {}, "say mesh"),
        ("etcd://", {}, "names no host"),
        ("etcd://a:0", {}, r"--store etcd://'a:0': port must be"),
        ("etcd://a/b c", {}, "prefix 'b c'"),
        ("etcd://a", {"etcd_cert_file": "c"}, "--etcd-cert-file: needs --etcd-key-file"),
        ("etcd://a", {"etcd_user": "u"}, "--etcd-user: needs --etcd-password-file"),
        ("mesh", {"etcd_ca_file": "c"}, "--etcd-ca-file: is for --store etcd"),
    ],
)
def test_what_names_no_store_is_refused_with_what_to_say(
    store: str, others: dict[str, str], match: str
) -> None:
    with pytest.raises(InvalidError, match=match):
        address.check(settings(store, **others))


@pytest.mark.parametrize("store", ["etcd://u:se/cr@et@a:1", "https://u:se/cr@et@a"])
def test_a_password_in_it_is_refused_and_not_repeated(store: str) -> None:
    with pytest.raises(InvalidError) as refused:
        address.check(settings(store))
    assert "cr" not in str(refused.value).replace("process", "")
    assert "se/" not in str(refused.value)


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(0o644)
    given = settings("etcd://a", etcd_user="u", etcd_password_file=str(file))
    with pytest.raises(InvalidError, match="chmod 600") as refused:
        access.client_of(given)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["etcd_ca_file", "etcd_password_file"])
def test_a_file_that_is_not_there_is_named(name: str) -> None:
    others = {name: "/nowhere", "etcd_user": "u", "etcd_password_file": "/nowhere"}
    with pytest.raises(InvalidError, match=r"-file /nowhere: No such file"):
        access.client_of(settings("etcd://a", **others))
