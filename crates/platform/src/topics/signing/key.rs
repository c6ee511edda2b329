//! RSA with SHA-1 (PKCS #1 v1.5), which the crypto library verifies but does not make any more, and
//! which SNS's SignatureVersion 1 is. By the Chinese remainder theorem, in constant time; what comes
//! out is verified before anybody sees it, so that a fault gives no factor away.

use aws_lc_rs::{
    digest,
    signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RsaPublicKeyComponents},
};
use crypto_bigint::{
    Odd, U1024, U2048,
    modular::{FixedMontyForm, FixedMontyParams},
};

const BYTES: usize = 256;
/// What PKCS #1 has before a SHA-1 digest.
const SHA1_INFO: [u8; 15] = [
    0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14,
];

type Half = FixedMontyParams<{ U1024::LIMBS }>;

pub struct LegacyKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    p: Half,
    q: Half,
    dp: U1024,
    dq: U1024,
    q_inverse: U1024,
}

impl LegacyKey {
    /// None if it is no RSA key of 2048 bits.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let mut outer = Der(Der(pkcs8).next(SEQUENCE)?);
        outer.next(INTEGER)?;
        outer.next(SEQUENCE)?;
        let mut key = Der(Der(outer.next(OCTETS)?).next(SEQUENCE)?);
        key.next(INTEGER)?;
        let (modulus, exponent) = (key.next(INTEGER)?, key.next(INTEGER)?);
        key.next(INTEGER)?;
        let mut half = || half(key.next(INTEGER)?);
        let (p, q, dp, dq, q_inverse) = (half()?, half()?, half()?, half()?, half()?);
        let modulus = unsigned(modulus);
        if modulus.len() != BYTES {
            return None;
        }
        let parameters = |prime| Some(Half::new(Option::from(Odd::new(prime))?));
        Some(Self {
            modulus: modulus.to_vec(),
            exponent: unsigned(exponent).to_vec(),
            p: parameters(p)?,
            q: parameters(q)?,
            dp,
            dq,
            q_inverse,
        })
    }

    pub fn sign_sha1(&self, text: &[u8]) -> Option<Vec<u8>> {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text);
        let mut encoded = vec![0xff; BYTES];
        let tail = [&SHA1_INFO, digest.as_ref()].concat();
        encoded[0] = 0;
        encoded[1] = 1;
        let at = BYTES - tail.len();
        encoded[at - 1] = 0;
        encoded[at..].copy_from_slice(&tail);
        let signature = self.private(&encoded);
        let public = RsaPublicKeyComponents {
            n: &self.modulus,
            e: &self.exponent,
        };
        let algorithm = &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY;
        public.verify(algorithm, text, &signature).ok()?;
        Some(signature)
    }

    fn private(&self, encoded: &[u8]) -> Vec<u8> {
        let whole = U2048::from_be_slice(encoded);
        let power = |prime: &Half, exponent: &U1024| {
            let base = whole.rem(prime.modulus().as_nz_ref());
            FixedMontyForm::new(&base, prime).pow(exponent).retrieve()
        };
        let (of_p, of_q) = (power(&self.p, &self.dp), power(&self.q, &self.dq));
        // h = (of_p - of_q) / q, modulo p
        let reduced = of_q.rem(self.p.modulus().as_nz_ref());
        let of = |value: &U1024| FixedMontyForm::new(value, &self.p);
        let h = ((of(&of_p) - of(&reduced)) * of(&self.q_inverse)).retrieve();
        let q: U2048 = self.q.modulus().get().resize();
        let h: U2048 = h.resize();
        let of_q: U2048 = of_q.resize();
        let signature = h.wrapping_mul(&q).wrapping_add(&of_q);
        signature.to_be_bytes().as_ref().to_vec()
    }
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// Just enough of DER to read a key that was written by ourselves.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x82 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (found == tag).then_some(content)
    }
}

fn unsigned(integer: &[u8]) -> &[u8] {
    match integer {
        [0, rest @ ..] => rest,
        all => all,
    }
}

fn half(integer: &[u8]) -> Option<U1024> {
    let bytes = unsigned(integer);
    let mut padded = [0; BYTES / 2];
    let at = padded.len().checked_sub(bytes.len())?;
    padded[at..].copy_from_slice(bytes);
    Some(U1024::from_be_slice(&padded))
}
