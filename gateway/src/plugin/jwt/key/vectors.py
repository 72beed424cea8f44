"""Makes vectors.json, with the libraries pyjwt and cryptography: python3 vectors.py > vectors.json"""

import base64
import datetime
import json

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

PEM = serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
SECRET = "a secret of this test, long enough for each of the hashes: 0123456789abcdef"


def public(key, form=SPKI):
    return key.public_key().public_bytes(PEM, form).decode()


def number(value, length):
    return base64.urlsafe_b64encode(value.to_bytes(length, "big")).rstrip(b"=").decode()


def point(name, key, curve, length):
    numbers = key.public_key().public_numbers()
    return {"kty": "EC", "kid": name, "crv": curve, "x": number(numbers.x, length), "y": number(numbers.y, length)}


def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.test")])
    begin = datetime.datetime(2020, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_before(begin)
    builder = builder.not_valid_after(begin + datetime.timedelta(days=36500))
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM).decode()


def raw(key, signed):
    """A signature by HMAC that the library refuses to make: with a public key as the secret."""
    import hashlib
    import hmac

    return base64.urlsafe_b64encode(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()).rstrip(b"=")


keys = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}
small = rsa.generate_private_key(65537, 1024)
algorithms = {
    "RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa", "PS512": "rsa",
    "ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed25519",
}
claims = {"iss": "a"}
tokens = {name: jwt.encode(claims, SECRET, name) for name in ("HS256", "HS384", "HS512")}
tokens |= {name: jwt.encode(claims, keys[key], name, headers={"kid": key}) for name, key in algorithms.items()}
tokens["small"] = jwt.encode(claims, small, "RS256")
unsigned = jwt.encode(claims, SECRET, "HS256").rsplit(".", 1)[0]
tokens["confused"] = f"{unsigned}.{raw(public(keys['rsa']), unsigned).decode()}"
rsa_numbers = keys["rsa"].public_key().public_numbers()
ed = keys["ed25519"].public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
print(json.dumps({
    "keys": {name: public(key) for name, key in keys.items()} | {
        "secret": SECRET,
        "rsa_pkcs1": public(keys["rsa"], serialization.PublicFormat.PKCS1),
        "rsa_certificate": certificate(keys["rsa"]),
        "rsa_1024": public(small),
        "x25519": public(x25519.X25519PrivateKey.generate()),
    },
    "tokens": tokens,
    "set": {"keys": [
        {"kty": "RSA", "kid": "rsa", "n": number(rsa_numbers.n, 256), "e": number(rsa_numbers.e, 3)},
        point("p256", keys["p256"], "P-256", 32),
        point("p384", keys["p384"], "P-384", 48),
        point("p521", keys["p521"], "P-521", 66),
        {"kty": "OKP", "kid": "ed25519", "crv": "Ed25519", "x": base64.urlsafe_b64encode(ed).rstrip(b"=").decode()},
    ]},
}, indent=1))
