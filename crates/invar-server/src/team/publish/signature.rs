//! The cryptography of identity tokens: ring, which TLS uses anyway, for the library that reads them.
//!
//! Two algorithms: RS256, which forges sign by, and ES256. Nothing is signed here, and no secret is a key: a token that
//! says that it is signed by a shared one (HS256), or not at all, is refused before anybody looks at its signature.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

/// Verifies by ring.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring what signatures are verified by.
pub fn install() {
    // It is there already if a server was made before in this process.
    let _ = PROVIDER.install_default();
}

/// The algorithm that a key is for; `None`: none that is taken.
pub fn algorithm(key: &Jwk) -> Option<Algorithm> {
    if !matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        _ => return None,
    };
    // A key that says what it is for is for nothing else.
    let said = key.common.key_algorithm.map(|said| said.to_string());
    said.is_none_or(|said| said == format!("{algorithm:?}")).then_some(algorithm)
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Ok(Box::new(Rs256 { n: n.clone(), e: e.clone() }))
        }
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => Ok(Box::new(Es256(point.clone()))),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

/// RSA with PKCS #1 padding and SHA-256.
struct Rs256 {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), signature::Error> {
        let key = RsaPublicKeyComponents { n: &self.n, e: &self.e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signed).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

/// ECDSA on P-256 with SHA-256; the key is a point, not compressed.
struct Es256(Vec<u8>);

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), signature::Error> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0);
        key.verify(message, signed).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// What RFC 7515 signs in its appendix A.2, and the public half of the key.
    const SIGNED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS\
                          9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Q\
                          c_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNP\
                          vkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeY\
                          I2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-\
                     SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS\
                     -UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2\
                     ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

    fn key(more: Value) -> Jwk {
        let mut key = json!({"kty": "RSA", "n": N, "e": "AQAB"});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(key).unwrap()
    }

    fn is_valid(signed: &str) -> bool {
        install();
        let mut validation = jsonwebtoken::Validation::new(Algorithm::RS256);
        // It expired in 2011.
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let key = DecodingKey::from_jwk(&key(json!({}))).unwrap();
        jsonwebtoken::decode::<Value>(signed, &key, &validation).is_ok()
    }

    #[test]
    fn what_rfc_7515_signs_by_rs256_is_valid_and_nothing_near_it() {
        assert!(is_valid(SIGNED));
        assert!(!is_valid(&SIGNED.replace("e77Rw", "e77Rg")), "another signature");
        assert!(!is_valid(&SIGNED.replace("MDA4MTkz", "MDA4MTky")), "another expiry");
    }

    #[test]
    fn a_key_is_for_what_it_says() {
        assert_eq!(algorithm(&key(json!({}))), Some(Algorithm::RS256));
        assert_eq!(algorithm(&key(json!({"alg": "RS256", "use": "sig"}))), Some(Algorithm::RS256));
        assert_eq!(algorithm(&key(json!({"alg": "RS512"}))), None);
        assert_eq!(algorithm(&key(json!({"use": "enc"}))), None);
        let secret = serde_json::from_value(json!({"kty": "oct", "k": "AAAA"})).unwrap();
        assert_eq!(algorithm(&secret), None, "a secret is nobody's public key");
    }
}
