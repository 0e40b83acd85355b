//! Published keys: a JSON Web Key Set (RFC 7517), reduced to the keys that may verify our tokens.
//!
//! Owns [`PublicKey`] and [`PublicKeys`]. In comes a document; out go keys that each have one algorithm and a name of
//! their own. What is not plainly a key for verifying signatures is left out: keys for encryption, with private parts,
//! of other types, too short, or named like another.
//! Source: RFC 7517; RFC 7518, section 6; RFC 8037; RFC 8725, section 3.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;

use super::{Rejection, UnverifiedClaims};
use crate::json;

/// A set that lists more is no issuer's.
const MAX_KEYS: usize = 100;
/// The shortest RSA modulus, in bits: RFC 7518, section 3.3. The longest is ring's: 8,192.
const MIN_RSA_BITS: usize = 2_048;

/// How a signature is made: RFC 7518, section 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519: RFC 8037, section 3.1, and by its newer name RFC 9864, section 2.2.
    EdDsa,
}

impl Algorithm {
    /// The algorithm of a name in a header or a key; `None` for all that we do not verify, `none` among them.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A key that verifies signatures of one algorithm.
pub struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Rsa(&'static RsaParameters, RsaPublicKeyComponents<Vec<u8>>),
    /// An uncompressed point (SEC 1, section 2.3.3), or the 32 bytes of an Ed25519 key.
    Point(UnparsedPublicKey<Vec<u8>>),
}

impl PublicKey {
    /// A P-256 key for ES256 from its uncompressed point, under a name.
    pub(super) fn es256(id: String, point: Vec<u8>) -> Self {
        Self {
            id: Some(id),
            algorithm: Algorithm::Es256,
            material: Material::Point(UnparsedPublicKey::new(
                &signature::ECDSA_P256_SHA256_FIXED,
                point,
            )),
        }
    }

    /// Whether `signature` is this key's over `signed`.
    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.material {
            Material::Rsa(parameters, key) => key.verify(parameters, signed, signature),
            Material::Point(key) => key.verify(signed, signature),
        };
        verified.is_ok()
    }
}

/// The members of a key that say something to us: RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// A published private key is nobody's alone.
    d: Option<serde::de::IgnoredAny>,
}

impl Jwk {
    /// The key, if it is one for verifying signatures of an algorithm that we know.
    fn public_key(self) -> Option<PublicKey> {
        let for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let for_verifying = self
            .key_ops
            .as_ref()
            .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let named = self
            .kid
            .as_ref()
            .is_none_or(|kid| (1..=256).contains(&kid.len()));
        if !for_signatures || !for_verifying || self.d.is_some() || !named {
            return None;
        }
        let decode = |part: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(part.as_ref()?).ok();
        let point = |length: usize| {
            let (x, y) = (decode(&self.x)?, decode(&self.y)?);
            (x.len() == length && y.len() == length)
                .then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        // One key, one algorithm: an RSA key that names none is for the one that all issuers use.
        let named = |or: Algorithm| match &self.alg {
            Some(name) => Algorithm::of_name(name),
            None => Some(or),
        };
        let (algorithm, material) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => {
                let algorithm = named(Algorithm::Rs256)?;
                let parameters = match algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    _ => return None,
                };
                let (n, e) = (decode(&self.n)?, decode(&self.e)?);
                if bits(&n) < MIN_RSA_BITS || is_of_infineon(&n) {
                    return None;
                }
                (
                    algorithm,
                    Material::Rsa(parameters, RsaPublicKeyComponents { n, e }),
                )
            }
            ("EC", Some("P-256")) => {
                let key = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point(32)?);
                (
                    named(Algorithm::Es256).filter(|name| *name == Algorithm::Es256)?,
                    Material::Point(key),
                )
            }
            ("EC", Some("P-384")) => {
                let key = UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point(48)?);
                (
                    named(Algorithm::Es384).filter(|name| *name == Algorithm::Es384)?,
                    Material::Point(key),
                )
            }
            ("OKP", Some("Ed25519")) => {
                let x = decode(&self.x).filter(|x| x.len() == 32)?;
                let key = UnparsedPublicKey::new(&signature::ED25519, x);
                (
                    named(Algorithm::EdDsa).filter(|name| *name == Algorithm::EdDsa)?,
                    Material::Point(key),
                )
            }
            _ => return None,
        };
        Some(PublicKey {
            id: self.kid,
            algorithm,
            material,
        })
    }
}

fn bits(modulus: &[u8]) -> usize {
    match modulus.first() {
        // RFC 7518, section 6.3.1.1: no leading zero.
        None | Some(0) => 0,
        Some(first) => modulus.len() * 8 - first.leading_zeros() as usize,
    }
}

/// Whether a modulus has the form of those that a faulty library made, and that can be factored: CVE-2017-15361. Modulo
/// each small prime, it is then a power of 65537.
fn is_of_infineon(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.into_iter().all(|prime| {
        let rest = modulus
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..prime).any(|_| {
            power = power * 65_537 % prime;
            power == rest
        })
    })
}

/// The usable keys of a set, each with a name of its own.
#[derive(Debug)]
pub struct PublicKeys(Vec<PublicKey>);

impl PublicKeys {
    /// The one key of a set that holds one.
    pub(super) fn of_one(key: PublicKey) -> Self {
        Self(vec![key])
    }

    /// Reads a key set. The reason why it cannot be used does not repeat it.
    pub fn parse(document: &[u8]) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = json::read(document).map_err(|_| "it is not a JSON Web Key Set")?;
        if set.keys.len() > MAX_KEYS {
            return Err("it lists more than 100 keys");
        }
        // RFC 7517, section 5: a key that is not understood is passed over.
        let keys: Vec<PublicKey> = set
            .keys
            .into_iter()
            .filter(Value::is_object)
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok()?.public_key())
            .collect();
        let one = keys.len() == 1;
        let names: Vec<Option<String>> = keys.iter().map(|key| key.id.clone()).collect();
        let unique = |key: &PublicKey| names.iter().filter(|name| **name == key.id).count() == 1;
        // Two keys of one name leave it open which is meant, and so do several without a name.
        let keys: Vec<PublicKey> = keys
            .into_iter()
            .filter(|key| one || (key.id.is_some() && unique(key)))
            .collect();
        if keys.is_empty() {
            return Err("it holds no key that verifies signatures");
        }
        Ok(Self(keys))
    }

    /// The keys' names and algorithms.
    #[cfg(fuzzing)]
    pub fn named(&self) -> impl Iterator<Item = (Option<&str>, Algorithm)> {
        self.0.iter().map(|key| (key.id.as_deref(), key.algorithm))
    }

    /// Whether the key that the token names made its signature.
    pub(super) fn verify(&self, token: &UnverifiedClaims) -> Result<(), Rejection> {
        let key = match (&token.key_id, self.0.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| match &key.id {
                Some(known) => known == id,
                // A set of one key without a name: the token's word for it means nothing to us.
                None => keys.len() == 1,
            }),
            (None, [only]) => Some(only),
            (None, _) => {
                return Err(Rejection::Header(
                    "names no key, and its issuer has several",
                ));
            }
        };
        let key = key.ok_or(Rejection::UnknownKey)?;
        if Algorithm::of_name(&token.algorithm) != Some(key.algorithm) {
            return Err(Rejection::Header("`alg` is not the key's"));
        }
        if key.verifies(token.signed(), &token.signature) {
            Ok(())
        } else {
            Err(Rejection::Signature)
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PublicKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests;
