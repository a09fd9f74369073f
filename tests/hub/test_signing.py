"""A signed release: each file as it was signed, none more or less, by whom it is said."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import PrivateFormat
from signing_keys import write_keys

from mbrelease.cli.main import main
from mbrelease.errors import CheckFailed, UserError
from mbrelease.hub.signed_files import SIGNATURE, parse_signature
from mbrelease.hub.signing import (
    sign_file,
    sign_release,
    signature_path,
    verify_file,
    verify_signature,
)
from mbrelease.hub.signing_keys import PublicKey, read_private_key, read_public_key


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path / "keys")


@pytest.fixture
def signed(release: Path, keys: tuple[Path, Path]) -> Path:
    (release / "card.lock.json").write_text("{}")
    sign_release(release, read_private_key(keys[0]))
    return release


@pytest.fixture
def trusted(keys: tuple[Path, Path]) -> PublicKey:
    return read_public_key(keys[1])


def paths(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files}


def test_all_that_is_published_is_signed_but_the_signature(
    signed: Path, trusted: PublicKey
) -> None:
    covered = set(verify_signature(signed, trusted).digests)
    assert covered == paths(signed) - {SIGNATURE}
    assert {"README.md", "card.lock.json", "figures/curve.png", "model.safetensors"} <= covered


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_the_curves_and_forms_that_openssl_writes(
    tmp_path: Path, curve: ec.EllipticCurve, form: PrivateFormat
) -> None:
    private, public = write_keys(tmp_path / "k", curve=curve, form=form)
    release = tmp_path / "release"
    release.mkdir()
    (release / "config.json").write_text("{}")
    sign_release(release, read_private_key(private))
    verify_signature(release, read_public_key(public))


@pytest.mark.parametrize(
    "path",
    [
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "README.md",
        "card.lock.json",
        "averaging.json",
        "LICENSE",
        "figures/curve.png",
        ".eval_results/dev.yaml",
    ],
)
def test_one_altered_byte_is_told(signed: Path, trusted: PublicKey, path: str) -> None:
    data = bytearray((signed / path).read_bytes())
    data[len(data) // 2] ^= 1
    (signed / path).write_bytes(data)
    with pytest.raises(CheckFailed, match=rf"signed: {path} was changed\n"):
        verify_signature(signed, trusted)


@pytest.mark.parametrize(
    "path", ["modeling.py", "figures/more.png", ".hidden", ".gitignore", ".cache/x", "a/model.sig"]
)
def test_an_added_file_is_told(signed: Path, trusted: PublicKey, path: str) -> None:
    (signed / path).parent.mkdir(exist_ok=True)
    (signed / path).write_text("x")
    with pytest.raises(CheckFailed, match=f"{path} was added"):
        verify_signature(signed, trusted)


def test_a_removed_file_is_told(signed: Path, trusted: PublicKey) -> None:
    (signed / "LICENSE").unlink()
    with pytest.raises(CheckFailed, match="LICENSE is missing"):
        verify_signature(signed, trusted)


def test_a_link_to_a_folder_is_no_part_of_a_release(
    signed: Path, trusted: PublicKey, tmp_path: Path
) -> None:
    (signed / "more").symlink_to(tmp_path)
    with pytest.raises(CheckFailed, match="more was added"):
        verify_signature(signed, trusted)


def test_of_many_changes_the_first_are_told(signed: Path, trusted: PublicKey) -> None:
    for number in range(5):
        (signed / f"x{number}\n").write_text("x")
    with pytest.raises(CheckFailed) as failure:
        verify_signature(signed, trusted)
    assert failure.value.message.endswith("'x2\\n' was added and 2 more")


def test_what_a_download_or_clone_adds_of_its_own_is_let_be(
    signed: Path, trusted: PublicKey
) -> None:
    for path in (".cache/huggingface/x", ".git/HEAD", ".gitattributes"):
        (signed / path).parent.mkdir(parents=True, exist_ok=True)
        (signed / path).write_text("x")
    verify_signature(signed, trusted)


def test_another_key_is_told_with_both_names(
    signed: Path, trusted: PublicKey, tmp_path: Path
) -> None:
    _, other = write_keys(tmp_path / "other")
    with pytest.raises(CheckFailed) as failure:
        verify_signature(signed, read_public_key(other))
    assert trusted.sha256[:12] in failure.value.message
    assert read_public_key(other).sha256[:12] in failure.value.message


def test_a_signature_that_only_names_the_key_is_none(
    signed: Path, trusted: PublicKey, tmp_path: Path
) -> None:
    """Another signs other files, and writes the trusted key's name over theirs."""
    private, _ = write_keys(tmp_path / "other")
    (signed / "README.md").write_text("Other\n")
    place = sign_release(signed, read_private_key(private))
    bundle = json.loads(place.read_text())
    bundle["verificationMaterial"]["publicKey"]["hint"] = trusted.sha256
    place.write_text(json.dumps(bundle))
    with pytest.raises(CheckFailed, match="is not a signature by the key"):
        verify_signature(signed, trusted)


def test_what_was_signed_cannot_be_rewritten(signed: Path, trusted: PublicKey) -> None:
    place = signed / SIGNATURE
    bundle = json.loads(place.read_text())
    statement = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b'"a', b'"b')
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(
        statement.replace(b"LICENSE", b"LICENCE")
    ).decode()
    place.write_text(json.dumps(bundle))
    (signed / "LICENSE").rename(signed / "LICENCE")
    with pytest.raises(UserError, match="not a signature"):
        verify_signature(signed, trusted)


def test_no_signature(release: Path, trusted: PublicKey) -> None:
    with pytest.raises(CheckFailed, match="is not signed: it has no model.sig"):
        verify_signature(release, trusted)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"verificationMaterial": {"publicKey": null}}',
        b'{"verificationMaterial": {}, "dsseEnvelope": {"payload": "e30="}}',
        b"[" * 100_000,
        b"\xff\xfe",
        b" " * 10_000_001,
    ],
)
def test_what_is_no_signature_is_told_in_a_sentence(
    release: Path, trusted: PublicKey, data: bytes
) -> None:
    (release / SIGNATURE).write_bytes(data)
    with pytest.raises(CheckFailed, match="no signature|not a signature of a model"):
        verify_signature(release, trusted)


def test_a_release_that_has_not_changed_is_not_signed_again(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    before = (signed / SIGNATURE).read_bytes()
    stamp = (signed / SIGNATURE).stat().st_mtime_ns
    sign_release(signed, read_private_key(keys[0]))
    assert (signed / SIGNATURE).read_bytes() == before
    assert (signed / SIGNATURE).stat().st_mtime_ns == stamp


def test_a_change_or_another_key_makes_a_new_signature(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    before = (signed / SIGNATURE).read_bytes()
    (signed / "README.md").write_text("New\n")
    sign_release(signed, read_private_key(keys[0]))
    changed = (signed / SIGNATURE).read_bytes()
    assert changed != before
    private, public = write_keys(tmp_path / "other")
    sign_release(signed, read_private_key(private))
    verify_signature(signed, read_public_key(public))


def test_the_statement_depends_on_the_files_alone(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """Only the signature itself is random, as ECDSA is."""

    def statement(folder: Path) -> bytes:
        return base64.b64decode(
            json.loads((folder / SIGNATURE).read_text())["dsseEnvelope"]["payload"]
        )

    copy = tmp_path / "elsewhere" / signed.name
    shutil.copytree(signed, copy)
    (copy / SIGNATURE).unlink()
    sign_release(copy, read_private_key(keys[0]))
    assert (copy / SIGNATURE).read_bytes() != (signed / SIGNATURE).read_bytes()
    assert json.loads(statement(copy)) == json.loads(statement(signed))
    assert str(tmp_path).encode() not in statement(copy)


def test_an_encrypted_key_takes_its_password_from_the_environment(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_keys(tmp_path / "k", password=b"open sesame")
    with pytest.raises(UserError, match="is encrypted") as failure:
        read_private_key(private)
    assert failure.value.mend and "--sign-password-env NAME" in failure.value.mend
    with pytest.raises(UserError, match="names no environment variable") as failure:
        read_private_key(private, "open sesame")
    assert "sesame" not in str(failure.value)
    monkeypatch.setenv("KEY_PASSWORD", "wrong")
    with pytest.raises(UserError, match=r"the password in \$KEY_PASSWORD does not open"):
        read_private_key(private, "KEY_PASSWORD")
    monkeypatch.setenv("KEY_PASSWORD", "open sesame")
    key = read_private_key(private, "KEY_PASSWORD")
    sign_release(release, key)
    verify_signature(release, read_public_key(public))
    assert "sesame" not in repr(key)


def test_a_password_for_a_key_without_one_is_a_mistake(
    keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_PASSWORD", "x")
    with pytest.raises(UserError, match="is not encrypted"):
        read_private_key(keys[0], "KEY_PASSWORD")


def test_what_is_no_key_is_told_with_the_mend(keys: tuple[Path, Path], tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    private, public = keys
    with pytest.raises(UserError, match="is a public key, which cannot sign"):
        read_private_key(public)
    with pytest.raises(UserError, match="is a private key; nobody needs it"):
        read_public_key(private)
    text = tmp_path / "text"
    text.write_text("x")
    with pytest.raises(UserError, match="not a private key in PEM"):
        read_private_key(text)
    with pytest.raises(UserError, match="not a public key in PEM"):
        read_public_key(text)
    with pytest.raises(UserError, match="does not exist"):
        read_private_key(tmp_path / "nothing")
    with pytest.raises(UserError, match="is not a file"):
        read_public_key(tmp_path)
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption

    other = ed25519.Ed25519PrivateKey.generate()
    text.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(UserError, match="is not a key on the curve"):
        read_private_key(text)
    koblitz, _ = write_keys(tmp_path / "k1", curve=ec.SECP256K1())
    with pytest.raises(UserError, match="is not a key on the curve"):
        read_private_key(koblitz)


def test_a_key_in_the_folder_that_it_signs_is_refused(release: Path) -> None:
    private, _ = write_keys(release / "figures")
    with pytest.raises(UserError, match="is in the folder that it signs"):
        sign_release(release, read_private_key(private))
    assert not (release / SIGNATURE).exists()


def test_a_single_file_is_signed_beside_itself(
    tmp_path: Path, keys: tuple[Path, Path], trusted: PublicKey
) -> None:
    receipt = tmp_path / "0123456789ab.json"
    receipt.write_text("{}\n")
    place = sign_file(receipt, read_private_key(keys[0]))
    assert place.name == "0123456789ab.json.sig"
    verify_file(receipt, trusted)
    before = place.read_bytes()
    sign_file(receipt, read_private_key(keys[0]))
    assert place.read_bytes() == before
    receipt.write_text("{ }\n")
    with pytest.raises(CheckFailed, match="is not as it was signed"):
        verify_file(receipt, trusted)


def plain(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command of OpenSSF itself."""
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_plain_command_verifies_what_is_signed_here(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    (signed / ".gitattributes").write_text("x")
    call = ("verify", "key", "--public_key", keys[1], "--signature")
    told = plain(*call, signed / SIGNATURE, signed)
    assert told.returncode == 0, told.stderr
    (signed / "README.md").write_text("Other\n")
    assert plain(*call, signed / SIGNATURE, signed).returncode != 0
    receipt = tmp_path / "receipt.json"
    receipt.write_text("{}")
    sign_file(receipt, read_private_key(keys[0]))
    told = plain(*call, signature_path(receipt), receipt)
    assert told.returncode == 0, told.stderr


def test_what_the_plain_command_signs_is_verified_here(
    release: Path, keys: tuple[Path, Path], trusted: PublicKey
) -> None:
    told = plain(
        "sign", "key", "--private_key", keys[0], "--signature", release / SIGNATURE, release
    )
    assert told.returncode == 0, told.stderr
    verify_signature(release, trusted)
    (release / "LICENSE").unlink()
    with pytest.raises(CheckFailed, match="LICENSE is missing"):
        verify_signature(release, trusted)


def test_a_signature_cannot_exempt_files_of_its_own_choice(
    release: Path, keys: tuple[Path, Path], trusted: PublicKey
) -> None:
    """The plain command leaves out what the signature says; here the list is fixed."""
    told = plain(
        *("sign", "key", "--private_key", keys[0], "--signature", release / SIGNATURE),
        *("--ignore-paths", release / "config.json", release),
    )
    assert told.returncode == 0, told.stderr
    assert "config.json" not in parse_signature((release / SIGNATURE).read_bytes(), "x").digests
    with pytest.raises(CheckFailed, match=r"config\.json was added"):
        verify_signature(release, trusted)


def test_verify_says_in_a_line_who_signed_it(
    signed: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["verify", str(signed), "--signature"]
    assert main([*call, "--public-key", str(keys[1])]) == 0
    sha256 = read_public_key(keys[1]).sha256
    count = len(paths(signed)) - 1
    told = f"{signed} is as the key {sha256[:12]} signed it; {count} files, none more or less\n"
    assert capsys.readouterr().out == told
    assert main([*call, "--public-key", str(keys[1]), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["passed"] is True and answer["files"] == count
    (signed / "LICENSE").write_text("x")
    assert main([*call, "--public-key", str(keys[1])]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 2 and "LICENSE was changed" in err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--signature"], "before it is said whose it must be"),
        (["--public-key", "k"], "add --signature"),
        (["--signature", "--identity", "x"], "--identity and --issuer go together"),
        (["--signature", "--identity", "x", "--public-key", "k"], "are two ways"),
        (["--signature", "--headers-only"], "--signature is a check of its own"),
        (["--signature", "--public-key", "nothing"], "nothing does not exist"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    options: list[str], told: str, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(release), *options]) == 2
    assert told in capsys.readouterr().err


def test_a_signature_by_key_is_not_one_by_sigstore(
    signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["verify", str(signed), "--signature", "--identity", "x", "--issuer", "y"]
    assert main(call) == 1
    assert "not by Sigstore" in capsys.readouterr().err


def test_without_the_extra_it_is_named(
    signed: Path,
    keys: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    assert main(["verify", str(signed), "--signature", "--public-key", str(keys[1])]) == 2
    assert "pip install 'mbrelease[sign]'" in capsys.readouterr().err
    assert main(["push", str(signed), "--to", "a/b", "--sign-key", str(keys[0])]) == 2
    assert "pip install 'mbrelease[sign]'" in capsys.readouterr().err
