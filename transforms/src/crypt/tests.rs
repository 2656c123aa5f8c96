//! Round trips in any cutting, every prefix, every kind of key, and the wrong one.

use age::secrecy::ExposeSecret as _;
use bytes::Bytes;
use pipeline::endpoint::Secret;
use pipeline::{Kind, Result, Transform};

use super::{Decrypt, Encrypt, Identities, Recipients};

fn run(mut step: Box<dyn Transform>, input: &[u8], cut: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for piece in input.chunks(cut.max(1)) {
        step.push(Bytes::copy_from_slice(piece), &mut out)?;
    }
    step.finish(&mut out)?;
    Ok(out)
}

fn keys() -> (Recipients, Identities, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let identity = age::x25519::Identity::generate();
    let file = dir.path().join("key.txt");
    std::fs::write(&file, format!("# a comment\n{}\n", identity.to_string().expose_secret())).unwrap();
    let recipients = Recipients::parse(&[identity.to_public().to_string()]).unwrap();
    (recipients, Identities::load(&[file], None).unwrap(), dir)
}

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

#[test]
fn what_goes_in_comes_out_in_any_cutting() {
    let (recipients, identities, _dir) = keys();
    // Around the pieces of 64 KiB that the format is made of.
    for length in [0, 1, 100, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let plain = data(length);
        for cut in [1, 1000, 65_536, 65_552, usize::MAX] {
            if cut == 1 && length > 70_000 {
                continue;
            }
            let stored = run(Box::new(Encrypt::new(recipients.clone())), &plain, cut.min(1 << 20)).unwrap();
            assert!(stored.starts_with(super::MAGIC));
            let back =
                run(Box::new(Decrypt::required(identities.clone())), &stored, cut.min(1 << 20)).unwrap();
            assert!(back == plain, "{length} bytes in pieces of {cut}");
        }
    }
}

#[test]
fn every_prefix_and_every_changed_byte_is_an_error() {
    let (recipients, identities, _dir) = keys();
    for length in [300, 65_536, 131_072] {
        let stored = run(Box::new(Encrypt::new(recipients.clone())), &data(length), 1 << 20).unwrap();
        let payload = stored.len() - length;
        for end in (0..stored.len())
            .filter(|end| *end < payload + 20 || *end % 6007 == 0 || *end + 40 > stored.len())
        {
            let result = run(Box::new(Decrypt::required(identities.clone())), &stored[..end], 1 << 20);
            assert!(result.is_err(), "cut at {end} of {}", stored.len());
        }
        // Exactly between two pieces of the format.
        for end in [payload, payload + 65_552] {
            if end < stored.len() {
                assert!(
                    run(Box::new(Decrypt::required(identities.clone())), &stored[..end], 1 << 20).is_err()
                );
            }
        }
        for at in (0..stored.len()).filter(|at| *at < 400 || *at % 4099 == 0) {
            let mut changed = stored.clone();
            changed[at] ^= 1;
            let result = run(Box::new(Decrypt::required(identities.clone())), &changed, 1 << 20);
            assert!(result.is_err(), "byte {at} changed");
        }
        let mut longer = stored.clone();
        longer.push(0);
        assert!(run(Box::new(Decrypt::required(identities.clone())), &longer, 1 << 20).is_err());
    }
}

#[test]
fn the_wrong_key_and_no_key_are_told_from_damage() {
    let (recipients, _, _dir) = keys();
    let (_, others, _dir) = keys();
    let stored = run(Box::new(Encrypt::new(recipients)), &data(500), 1 << 20).unwrap();
    for (identities, word) in [(others, "does not open"), (Identities::default(), "no key")] {
        let error = run(Box::new(Decrypt::detect(identities)), &stored, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().contains(word) && !error.hints().is_empty(), "{error}");
    }
}

#[test]
fn what_is_not_encrypted_passes_unless_it_should_be() {
    let (_, identities, _dir) = keys();
    for plain in [&b""[..], b"a", b"age", b"agent 007", b"CREATE TABLE", &data(100_000)] {
        for cut in [1, 7, 1 << 20] {
            assert_eq!(run(Box::new(Decrypt::detect(identities.clone())), plain, cut).unwrap(), plain);
        }
        assert!(run(Box::new(Decrypt::required(identities.clone())), plain, 3).is_err());
    }
    assert!(run(Box::new(Decrypt::detect(identities)), b"age-encryption.org/v", 3).is_err());
}

#[test]
fn a_passphrase_opens_what_it_closed() {
    let recipients = Recipients::passphrase(&Secret::new("correct horse")).unwrap();
    assert_eq!(recipients.names(), "passphrase");
    let stored = run(Box::new(Encrypt::new(recipients)), &data(70_000), 1 << 20).unwrap();
    let none: [&str; 0] = [];
    let read = |word: &str| {
        let identities = Identities::load(&none, Some(&Secret::new(word))).unwrap();
        run(Box::new(Decrypt::required(identities)), &stored, 1000)
    };
    assert!(read("correct horse").unwrap() == data(70_000));
    assert_eq!(read("wrong horse").unwrap_err().kind(), Kind::Usage);
}

#[test]
fn wrong_recipients_and_keys_are_usage_errors_and_repeat_no_secret() {
    let (_, _, dir) = keys();
    let secret = age::x25519::Identity::generate().to_string().expose_secret().to_owned();
    let file = dir.path().join("r");
    for (text, content) in [
        (secret.as_str(), None),
        ("age1nonsense", None),
        ("ssh-dss AAAA", None),
        ("no-such-file-anywhere", None),
        (file.to_str().unwrap(), Some("")),
        (file.to_str().unwrap(), Some("hello\n")),
        (file.to_str().unwrap(), Some(secret.as_str())),
    ] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let error = Recipients::parse(&[text.to_owned()]).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{text}");
        assert!(!format!("{error:?}").contains(&secret[20..]), "a secret");
    }
    std::fs::write(&file, "nothing here").unwrap();
    assert!(Identities::load(&[&file], None).is_err());
}
