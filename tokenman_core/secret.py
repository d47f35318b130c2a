"""The secret of an installation, and the keys that are derived from it, one a purpose."""

import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError

_BYTES = 32
_SHORTEST = 16  # characters of a secret that someone chose
_NAME = "secret"


def private_folder(path: Path) -> Path:
    """Makes a folder that only its owner can enter, its parents too. Raises ConfigError if that cannot be had."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        if status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"data_dir: the folder {path} cannot be made or read: {error.strerror}") from None
    return path


def own_folder(path: Path) -> Path:
    """A private folder that nobody but us could have prepared, for keys that are believed because they stand there.

    Raises ConfigError.
    """
    private_folder(path)
    check_owner(path)
    for parent in {*path.absolute().parents, *path.resolve().parents}:
        if parent.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
            raise ConfigError(
                f"data_dir: whoever may write to {parent} could put another folder in the place of {path}; "
                f"choose another data_dir, or: chmod +t {parent}"
            )
    return path


def check_owner(path: Path) -> None:
    """Raises ConfigError if it belongs to somebody else, who knows what is in it and may change it; OSError."""
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise ConfigError(
            f"data_dir: {path} belongs to another user (uid {owner}); choose a data_dir of your own, or remove this one, "
            f"or, if what it holds is yours: chown -R {os.geteuid()} {path}"
        )


def write_private(path: Path, content: bytes, *, keep: bool = False, mode: int = 0o600) -> bool:
    """Puts a file in place, whole or not at all. With `keep` a file that is already there stays; False: it stayed.

    Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep:
            os.link(draft, path)  # unlike rename, this fails if another start was first
        else:
            draft.replace(path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def installation_secret(settings: Settings) -> bytes:
    """The setting `secret` if there is one, else the one in `data_dir`, made at the first start (file mode 0600).

    Two starts at once get the same one. Raises ConfigError.
    """
    if settings.secret is not None:
        configured = settings.secret.get_secret_value()
        if len(configured) < _SHORTEST:
            raise ConfigError(
                f"secret: is too short to be one; good values: env:NAME with {_SHORTEST} characters or more"
            )
        return configured.encode()
    path = own_folder(settings.data_dir) / _NAME
    try:
        if not path.exists():
            write_private(path, secrets.token_hex(_BYTES).encode() + b"\n", keep=True)
        check_owner(path)
        text = path.read_bytes().strip()
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise ConfigError(f"secret: the file {path} cannot be read or made: {error.strerror}") from None
    if len(text) < _BYTES * 2:
        raise ConfigError(
            f"secret: the file {path} is damaged; put it back from a backup, or remove it to have a new one"
        )
    return text


def derive(secret: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose (HKDF-SHA256, RFC 5869); another purpose gives an unrelated key."""
    return HKDF(SHA256(), _BYTES, salt=None, info=f"tokenman/{purpose}".encode()).derive(secret)
