//! Encrypted archives, read by this program and by the stock one.

use std::process::{Command, Stdio};

use crate::run::{Place, mysql_dump};

/// A key of the `age-keygen` that is installed: its file and its public half.
fn key(place: &Place, name: &str) -> String {
    let made = Command::new("age-keygen").arg("-o").arg(place.join(name)).output().unwrap();
    assert!(made.status.success());
    let public = Command::new("age-keygen").arg("-y").arg(place.join(name)).output().unwrap();
    String::from_utf8(public.stdout).unwrap().trim().to_owned()
}

/// Missing programs fail where everything must be there, and are told of elsewhere.
fn installed(program: &str) -> bool {
    let there =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(there || std::env::var_os("DBFERRY_REQUIRE_SERVERS").is_none(), "{program} is not installed");
    there
}

fn stock(place: &Place, identity: &str, archive: &str) -> Vec<u8> {
    let line = format!("age -d -i {identity} {archive} | zstd -dc");
    let out = Command::new("sh").args(["-c", &line]).current_dir(place.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

#[test]
fn what_is_encrypted_opens_with_the_stock_program_and_comes_back() {
    if !installed("age") {
        return;
    }
    let place = Place::new();
    let dump = mysql_dump(5000);
    place.write("a.sql", &dump);
    let public = key(&place, "key.txt");
    let other = key(&place, "second.txt");
    key(&place, "wrong.txt");
    place.write("recipients", format!("# two people\n{public}\n\n{other}\n"));
    place.run(&["copy", "a.sql", "b.sql.zst.age", "--encrypt-to", "recipients"]).expect(0);
    let stored = place.read("b.sql.zst.age");
    assert!(stored.starts_with(b"age-encryption.org/v1\n"));
    assert!(!stored.windows(12).any(|w| w == b"CREATE TABLE"));
    for identity in ["key.txt", "second.txt"] {
        assert!(stock(&place, identity, "b.sql.zst.age") == dump, "{identity}");
        let verified = place.run(&["verify", "b.sql.zst.age", "--identity", identity]).expect(0);
        assert!(verified.err.contains("verified: b.sql"), "{}", verified.err);
    }
    // Without the key, the stored bytes; with the wrong one, it is not damage.
    let sealed = place.run(&["verify", "b.sql.zst.age"]).expect(0);
    assert!(
        sealed.err.contains("stored bytes verified") && sealed.err.contains("takes the key"),
        "{}",
        sealed.err
    );
    place.run(&["verify", "b.sql.zst.age", "--identity", "wrong.txt"]).expect(2).says(&["does not open"]);
    // Back to plain, and inside.
    place.run(&["copy", "b.sql.zst.age", "c.sql", "--identity", "key.txt"]).expect(0);
    assert!(place.read("c.sql") == dump);
    place.run(&["copy", "b.sql.zst.age", "d.sql"]).expect(2).says(&["--identity"]);
    assert!(place.run(&["inspect", "b.sql.zst.age", "--identity", "key.txt"]).expect(0).out.contains("5000"));
    let manifest = place.manifest("b.sql.zst.age").to_string();
    assert!(manifest.contains(&public) && !manifest.contains("AGE-SECRET"), "{manifest}");
    assert!(place.run(&["ls", "."]).expect(0).out.contains("age"));
    // As it is, to another place.
    place.run(&["copy", "b.sql.zst.age", "e.sql.zst.age", "--format", "opaque"]).expect(0);
    assert!(place.read("e.sql.zst.age") == stored);
    // What the stock program wrote is read.
    let line = format!("age -r {public} -o stock.sql.age a.sql");
    assert!(Command::new("sh").args(["-c", &line]).current_dir(place.path()).status().unwrap().success());
    place.run(&["copy", "stock.sql.age", "f.sql", "--identity", "key.txt"]).expect(0);
    assert!(place.read("f.sql") == dump);
}

#[test]
fn ssh_keys_and_passphrases_work_too() {
    if !installed("age") || !installed("ssh-keygen") {
        return;
    }
    let place = Place::new();
    let dump = mysql_dump(500);
    place.write("a.sql", &dump);
    for (kind, file) in [("ed25519", "ed"), ("rsa", "rsa")] {
        let path = place.join(file);
        let made =
            Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&path).status().unwrap();
        assert!(made.success());
        let name = format!("{file}.sql.zst.age");
        place.run(&["copy", "a.sql", &name, "--encrypt-to", &format!("{file}.pub")]).expect(0);
        place.run(&["verify", &name, "--identity", file]).expect(0).says(&["verified"]);
        assert!(stock(&place, file, &name) == dump, "{kind}");
    }
    place.write("phrase", "a random enough phrase\nsecond line");
    place.run(&["copy", "a.sql", "p.sql.zst.age", "--encrypt-passphrase-file", "phrase"]).expect(0);
    place.run(&["verify", "p.sql.zst.age", "--passphrase-file", "phrase"]).expect(0);
    place.write("other", "another one");
    place.run(&["verify", "p.sql.zst.age", "--passphrase-file", "other"]).expect(2).says(&["does not open"]);
}

#[test]
fn damage_to_an_encrypted_archive_is_found_with_and_without_the_key() {
    if !installed("age") {
        return;
    }
    let place = Place::new();
    place.write("a.sql", mysql_dump(3000));
    let public = key(&place, "key.txt");
    place.run(&["copy", "a.sql", "b.sql.zst.age", "--encrypt-to", &public]).expect(0);
    let stored = place.read("b.sql.zst.age");
    for at in [0, 30, 100, stored.len() / 2, stored.len() - 1] {
        let mut damaged = stored.clone();
        damaged[at] ^= 4;
        place.write("b.sql.zst.age", &damaged);
        place.run(&["verify", "b.sql.zst.age"]).expect(6);
        place.run(&["verify", "b.sql.zst.age", "--identity", "key.txt"]).expect(6);
        place.write("b.sql.zst.age", &stored[..at]);
        place.run(&["verify", "b.sql.zst.age"]).expect(6);
        // Without a manifest, the format itself finds the cut; of an empty file nobody can say what it was.
        if at == 0 {
            continue;
        }
        place.write("cut.sql.zst.age", &stored[..at]);
        assert_ne!(place.run(&["copy", "cut.sql.zst.age", "x.sql", "--identity", "key.txt"]).code, 0, "{at}");
        assert!(!place.join("x.sql").exists());
    }
}

#[test]
fn encryption_that_is_half_asked_for_is_refused() {
    let place = Place::new();
    place.write("a.sql", mysql_dump(3));
    let public = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    for (args, word) in [
        (&["copy", "a.sql", "b.sql.zst", "--encrypt-to", public][..], ".age"),
        (&["copy", "a.sql", "b.sql.age"], "--encrypt-to"),
        (&["copy", "a.sql", "b.sql.age", "--encrypt-to", "nobody"], "public key"),
        (&["copy", "a.sql", "b.rdb.age", "--encrypt-to", public, "--for", "elasticache"], "ElastiCache"),
        (&["verify", "a.sql", "--identity", "a.sql"], "no secret key"),
    ] {
        place.run(args).expect(2).says(&[word, "hint:"]);
        assert_eq!(place.names(), ["a.sql"]);
    }
}
