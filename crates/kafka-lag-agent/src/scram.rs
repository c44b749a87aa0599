//! SCRAM (RFC 5802, 7677) without channel binding: the client's three messages, no IO.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256, Sha512};

/// Kafka's brokers use 4096 by default and at most 16384; beyond this a broker only burns our time.
const MOST_ITERATIONS: u32 = 100_000;

/// Which hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    Sha256,
    Sha512,
}

impl Mechanism {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Sha256 => "SCRAM-SHA-256",
            Mechanism::Sha512 => "SCRAM-SHA-512",
        }
    }
}

/// A conversation that waits for the server's first message.
pub struct Started {
    mechanism: Mechanism,
    password: String,
    nonce: String,
    bare: String,
}

/// A conversation that waits for the server's proof that it knows the password too.
pub struct Proved {
    signature: Vec<u8>,
}

impl Started {
    /// Begins; `nonce` is random printable text without commas, new each time.
    pub fn new(mechanism: Mechanism, username: &str, password: &str, nonce: String) -> Started {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        Started {
            mechanism,
            password: password.to_owned(),
            bare: format!("n={username},r={nonce}"),
            nonce,
        }
    }

    /// The client's first message.
    pub fn message(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The client's last message, from the server's first.
    ///
    /// # Errors
    /// What is wrong with the server's message.
    pub fn answer(&self, server: &str) -> Result<(String, Proved), String> {
        match self.mechanism {
            Mechanism::Sha256 => self.prove::<Sha256>(server, 64),
            Mechanism::Sha512 => self.prove::<Sha512>(server, 128),
        }
    }

    fn prove<D: Digest>(&self, server: &str, block: usize) -> Result<(String, Proved), String> {
        let field = |name: char| {
            let mut parts = server.split(',');
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        if let Some(error) = field('e') {
            return Err(format!("the broker answers {error}"));
        }
        let (Some(nonce), Some(salt), Some(iterations)) = (field('r'), field('s'), field('i'))
        else {
            return Err("the broker's challenge is incomplete".to_owned());
        };
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the broker's challenge is not for this connection".to_owned());
        }
        let salt = BASE64
            .decode(salt)
            .map_err(|error| format!("the broker's salt: {error}"))?;
        let iterations = match iterations.parse() {
            Ok(iterations @ 1..=MOST_ITERATIONS) => iterations,
            _ => return Err(format!("the broker asks for {iterations:?} iterations")),
        };
        let hmac = |key: &[u8], text: &[u8]| hmac::<D>(key, text, block);
        let mut round = hmac(
            self.password.as_bytes(),
            &[&salt[..], &[0, 0, 0, 1]].concat(),
        );
        let mut salted = round.clone();
        for _ in 1..iterations {
            round = hmac(self.password.as_bytes(), &round);
            salted.iter_mut().zip(&round).for_each(|(a, b)| *a ^= b);
        }
        let client_key = hmac(&salted, b"Client Key");
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server},{without_proof}", self.bare);
        let signature = hmac(&D::digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let server_key = hmac(&salted, b"Server Key");
        let proved = Proved {
            signature: hmac(&server_key, signed.as_bytes()),
        };
        Ok((
            format!("{without_proof},p={}", BASE64.encode(proof)),
            proved,
        ))
    }
}

impl Proved {
    /// Checks the server's last message.
    ///
    /// # Errors
    /// The server does not know the password.
    pub fn check(&self, server: &str) -> Result<(), String> {
        let signature = server.split(',').find_map(|part| part.strip_prefix("v="));
        match signature.and_then(|signature| BASE64.decode(signature).ok()) {
            Some(signature) if signature == self.signature => Ok(()),
            _ => Err("the broker did not prove that it knows the password".to_owned()),
        }
    }
}

/// RFC 2104, for a hash with blocks of so many bytes.
fn hmac<D: Digest>(key: &[u8], text: &[u8], block: usize) -> Vec<u8> {
    let mut padded = match key.len() > block {
        true => D::digest(key).to_vec(),
        false => key.to_vec(),
    };
    padded.resize(block, 0);
    let xor = |with: u8| -> Vec<u8> { padded.iter().map(|byte| byte ^ with).collect() };
    let inner = D::new().chain_update(xor(0x36)).chain_update(text);
    let outer = D::new().chain_update(xor(0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn started() -> Started {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        Started::new(Mechanism::Sha256, "user", "pencil", nonce)
    }

    /// RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc() {
        let started = started();
        assert_eq!(started.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (message, proved) = started.answer(CHALLENGE).unwrap();
        assert_eq!(
            message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let last = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(proved.check(last), Ok(()));
        for wrong in ["", "e=other-error", "v=", "v=AAAA", "v=?"] {
            assert!(proved.check(wrong).is_err(), "{wrong}");
        }
    }

    /// RFC 4231, cases 2 and 6.
    #[test]
    fn hmac_of_the_rfc() {
        let hex = |bytes: Vec<u8>| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        let jefe = hmac::<Sha512>(b"Jefe", b"what do ya want for nothing?", 128);
        assert!(
            hex(jefe)
                .starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554")
        );
        let long = hmac::<Sha256>(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            64,
        );
        assert!(hex(long).starts_with("60e431591ee0b67f0d8a26aacbf5b77f"));
    }

    #[test]
    fn bad_challenges() {
        for (challenge, word) in [
            ("", "incomplete"),
            ("e=invalid-user", "invalid-user"),
            ("r=other,s=AAAA,i=4096", "not for this"),
            ("r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", "not for this"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096", "salt"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=0", "iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4000000000", "iterations"),
        ] {
            let error = started().answer(challenge).err().unwrap_or_default();
            assert!(error.contains(word), "{challenge}: {error}");
        }
    }

    #[test]
    fn names_are_escaped() {
        let started = Started::new(Mechanism::Sha512, "a,b=c", "", "n".to_owned());
        assert_eq!(started.message(), "n,,n=a=2Cb=3Dc,r=n");
    }
}
